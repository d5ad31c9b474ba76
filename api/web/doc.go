// Package web is what the HTTP dialects share: handlers that return errors and
// the router that runs them, the one table from storage.Kind to status, bodies
// with limits and a minimum rate, JSON objects, query parameters, ranges, rate
// headers, and who the client is. It decides nothing about a dialect's look:
// errors are values until the dialect's own renderer writes them.
package web
