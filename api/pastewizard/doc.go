// Package pastewizard is the PasteWizard dialect: pastes, here called notes,
// with tokens, scopes, passwords and burning after reading. Its API lies under
// /api/v1; its pages lie at the root, where /p/:id is shared with Paste69: the
// id tells whose it is. Like the other dialects it is credentials, parse, call,
// render.
package pastewizard
