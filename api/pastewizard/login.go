package pastewizard

import (
	"net/http"
	"slices"
	"strings"

	"ringbin/node"
	"ringbin/storage"
)

// sessionCookie names a login. Its prefix makes browsers keep it only when it
// is for this host alone and Secure; to them, plain HTTP on the own machine is.
const sessionCookie = "__Host-ringbin"

// loginKeyMax is longer than any key.
const loginKeyMax = 256

// identify finds who is logged in.
func (v *visit) identify() error {
	cookie, err := v.r.Cookie(sessionCookie)
	if err != nil {
		return nil //nolint:nilerr // there is none
	}
	v.caller, err = v.service().Session(v.r.Context(), cookie.Value)
	if storage.KindOf(err) == storage.KindUnauthenticated {
		return nil
	}
	return err
}

// setSession sets the cookie of a login; "" takes it away.
func (v *visit) setSession(value string) {
	cookie := &http.Cookie{Name: sessionCookie, Value: value, Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(v.w, cookie)
}

// afterLogin is where a login may lead: a page that asks for one.
func afterLogin(to string) string {
	if slices.Contains([]string{tokensPath, logsPath}, to) {
		return to
	}
	return keysPath
}

func (v *visit) showLogin() error {
	to, _ := v.query().text("to") // what is no text is no page
	return v.render("login", "Log in", loginPage{To: afterLogin(to), Lost: v.site.mute})
}

// What the login says of a key that it refuses.
const (
	keyRefused    = "This key is not known, or does not count any more"
	loginsRefused = "This key has as many logins as it may have: log out of one first"
)

// login makes a session of a key that is pasted once.
func (v *visit) login() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	to, _ := form.text("to")
	key, err := form.text("key")
	if key = strings.TrimSpace(key); err != nil || len(key) > loginKeyMax {
		key = "" // none that there is
	}
	_, cookie, err := v.service().OpenSession(v.r.Context(), key)
	if err == nil {
		v.setSession(cookie)
		return v.redirect(http.StatusSeeOther, afterLogin(to))
	}
	page := loginPage{To: afterLogin(to), Lost: v.site.mute}
	switch {
	case storage.KindOf(err) == storage.KindUnauthenticated:
		if err := v.service().Admit(node.RateWrongSecrets, node.Caller{}, v.addr()); err != nil {
			return err
		}
		page.Wrong = keyRefused
	case storage.CodeOf(err) == "session_limit":
		page.Wrong = loginsRefused
	default:
		return err
	}
	return v.d.pages.render(v.w, http.StatusForbidden, v.frame("login", "Log in", page))
}

func (v *visit) logout() error {
	if cookie, err := v.r.Cookie(sessionCookie); err == nil {
		if err := v.service().CloseSession(v.r.Context(), cookie.Value); err != nil {
			return err
		}
	}
	v.setSession("")
	return v.redirect(http.StatusSeeOther, loginPath)
}
