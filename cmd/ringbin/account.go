package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func adminCommand() *cobra.Command {
	var file string
	token := &cobra.Command{
		Use: "token", Short: "Print the operator's token", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return errors.New("cluster-secret-file: required")
			}
			t, err := tokenOf(file)
			if err != nil {
				return err
			}
			return show(cmd, map[string]string{"token": t}, func(w io.Writer) { _, _ = fmt.Fprintln(w, t) })
		},
	}
	token.Flags().StringVar(&file, "cluster-secret-file", "", "file with the cluster secret (required)")
	return group("admin", "The operator's token, and what only the operator does", token, adminRemove())
}

// account is one as the API shows it.
type account struct {
	ID           string    `json:"id"`
	Email        string    `json:"email"`
	Name         string    `json:"name"`
	BalanceCents int64     `json:"balance_cents"`
	Disabled     bool      `json:"disabled"`
	Role         string    `json:"role"`
	Number       int64     `json:"number"` // as PasteWizard shows the owner; 0: none yet
	Created      time.Time `json:"created"`
}

func dollars(cents int64) string { return fmt.Sprintf("$%d.%02d", cents/100, cents%100) }

func accountCommand() *cobra.Command {
	return group("account", "Accounts (operator)", accountCreate(), accountList(), accountDeposit(), accountDisable(), accountRole())
}

func accountCreate() *cobra.Command {
	var in struct {
		Email        string `json:"email"`
		Name         string `json:"name"`
		BalanceCents int64  `json:"balance_cents,omitempty"`
	}
	cmd := &cobra.Command{Use: "create", Short: "Make an account", Args: cobra.NoArgs}
	o := bindOperator(cmd)
	cmd.Flags().StringVar(&in.Email, "email", "", "address (required)")
	cmd.Flags().StringVar(&in.Name, "name", "", "name (required)")
	cmd.Flags().Int64Var(&in.BalanceCents, "balance-cents", 0, "opening balance")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := o.operator()
		if err != nil {
			return err
		}
		var a account
		if err := c.call(cmd.Context(), http.MethodPost, "/api/admin/accounts", in, &a); err != nil {
			return err
		}
		return show(cmd, a, func(w io.Writer) { _, _ = fmt.Fprintln(w, a.ID) })
	}
	return cmd
}

func accountList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List accounts", Args: cobra.NoArgs}
	o := bindOperator(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := o.operator()
		if err != nil {
			return err
		}
		all, err := pages[account](cmd.Context(), c, "/api/admin/accounts", "accounts")
		if err != nil {
			return err
		}
		return show(cmd, all, func(w io.Writer) {
			table(w, "ID\tEMAIL\tNAME\tBALANCE\tROLE\tSTATE", func(line func(string, ...any)) {
				for _, a := range all {
					state := "active"
					if a.Disabled {
						state = "disabled"
					}
					line("%s\t%s\t%s\t%s\t%s\t%s", a.ID, a.Email, a.Name, dollars(a.BalanceCents), a.Role, state)
				}
			})
		})
	}
	return cmd
}

func accountDeposit() *cobra.Command {
	var in struct {
		AmountCents int64  `json:"amount_cents"`
		Reference   string `json:"reference"`
	}
	cmd := &cobra.Command{Use: "deposit ACCOUNT", Short: "Credit an account, once for each reference", Args: cobra.ExactArgs(1)}
	o := bindOperator(cmd)
	cmd.Flags().Int64Var(&in.AmountCents, "amount-cents", 0, "cents to credit (required)")
	cmd.Flags().StringVar(&in.Reference, "reference", "", "the payment's own id: used once for ever (required)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := o.operator()
		if err != nil {
			return err
		}
		var d struct {
			ID           string    `json:"id"`
			AccountID    string    `json:"account_id"`
			AmountCents  int64     `json:"amount_cents"`
			BalanceAfter int64     `json:"balance_after_cents"`
			Reference    string    `json:"reference"`
			CreatedAt    time.Time `json:"created_at"`
		}
		if err := c.call(cmd.Context(), http.MethodPost, "/api/admin/accounts/"+url.PathEscape(args[0])+"/deposit", in, &d); err != nil {
			return err
		}
		return show(cmd, d, func(w io.Writer) {
			_, _ = fmt.Fprintf(w, "%s credited %s; balance %s\n", d.ID, dollars(d.AmountCents), dollars(d.BalanceAfter))
		})
	}
	return cmd
}

func accountDisable() *cobra.Command {
	var enable bool
	cmd := &cobra.Command{Use: "disable ACCOUNT", Short: "Stop an account's keys at once", Args: cobra.ExactArgs(1)}
	o := bindOperator(cmd)
	cmd.Flags().BoolVar(&enable, "undo", false, "enable it again")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := o.operator()
		if err != nil {
			return err
		}
		var a account
		in := map[string]bool{"disabled": !enable}
		if err := c.call(cmd.Context(), http.MethodPatch, "/api/admin/accounts/"+url.PathEscape(args[0]), in, &a); err != nil {
			return err
		}
		return show(cmd, a, func(w io.Writer) { _, _ = fmt.Fprintf(w, "%s disabled: %t\n", a.ID, a.Disabled) })
	}
	return cmd
}

func accountRole() *cobra.Command {
	cmd := &cobra.Command{
		Use: "role ACCOUNT admin|user", Short: "Say whether an account administers PasteWizard's pages and tokens", Args: cobra.ExactArgs(2),
	}
	o := bindOperator(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := o.operator()
		if err != nil {
			return err
		}
		var a account
		in := map[string]string{"role": args[1]}
		if err := c.call(cmd.Context(), http.MethodPatch, "/api/admin/accounts/"+url.PathEscape(args[0]), in, &a); err != nil {
			return err
		}
		return show(cmd, a, func(w io.Writer) { _, _ = fmt.Fprintf(w, "%s role: %s\n", a.ID, a.Role) })
	}
	return cmd
}

// apiKey is one as the API shows it; Key is there only when it is made.
type apiKey struct {
	ID       string     `json:"id"`
	Key      string     `json:"key,omitempty"`
	Name     string     `json:"name"`
	Created  time.Time  `json:"created"`
	Expires  *time.Time `json:"expires"` // nil: never
	LastUsed *time.Time `json:"lastUsed,omitempty"`
}

func keyCommand() *cobra.Command {
	return group("key", "API keys", keyCreate(), keyList(), keyRevoke())
}

// keyCreate works with a key of the account itself, or with the operator's token.
func keyCreate() *cobra.Command {
	var in struct {
		Name   string   `json:"name"`
		Days   *int     `json:"expiresInDays,omitempty"`
		API    string   `json:"api,omitempty"`
		Scopes []string `json:"scopes,omitempty"`
		Rate   *int64   `json:"rate_limit_per_minute,omitempty"`
	}
	var accountID, key string
	var days int
	var rate int64
	cmd := &cobra.Command{Use: "create", Short: "Make a key and print it, this once", Args: cobra.NoArgs}
	o := bindOperator(cmd)
	f := cmd.Flags()
	f.StringVar(&key, "key", "", "a key of the account, instead of the operator's token")
	f.StringVar(&accountID, "account", "", "the account's id, with the operator's token")
	f.StringVar(&in.Name, "name", "", "name (required for hashbin and paste69)")
	f.IntVar(&days, "days", 0, "days until it expires; 0: 365 for hashbin, never for the others")
	f.StringVar(&in.API, "api", "hashbin", "API that it is for, with the operator's token: hashbin, paste69, jsonbin, where it replaces the account's master key, or pastewizard")
	f.StringSliceVar(&in.Scopes, "scopes", nil, "what a token of pastewizard may do: read, write, admin; when left out, read and write")
	f.Int64Var(&rate, "rate-limit", 0, "requests a minute of a token of pastewizard; 0: any number; when left out, as the settings say")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		path := "/api/auth/apikeys"
		c, err := o.client()
		switch {
		case accountID != "": // a key in the environment does not turn it into one's own
			path = "/api/admin/accounts/" + url.PathEscape(accountID) + "/apikeys"
			c, err = o.operator()
		case key == "":
			return errors.New("account: required with the operator's token")
		case in.API != "hashbin" || in.Scopes != nil || cmd.Flags().Changed("rate-limit"):
			return errors.New("account: required, with the operator's token, for a key of another API, with scopes or with a limit")
		case err == nil:
			c.key, in.API = key, ""
		}
		if err != nil {
			return err
		}
		if days != 0 {
			in.Days = &days
		}
		if cmd.Flags().Changed("rate-limit") {
			in.Rate = &rate
		}
		var k apiKey
		if err := c.call(cmd.Context(), http.MethodPost, path, in, &k); err != nil {
			return err
		}
		return show(cmd, k, func(w io.Writer) { _, _ = fmt.Fprintln(w, k.Key) })
	}
	return cmd
}

func keyList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the account's keys", Args: cobra.NoArgs}
	o := bindClient(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := o.client()
		if err != nil {
			return err
		}
		var r struct {
			Keys []apiKey `json:"keys"`
		}
		if err := c.call(cmd.Context(), http.MethodGet, "/api/auth/apikeys", nil, &r); err != nil {
			return err
		}
		return show(cmd, r.Keys, func(w io.Writer) {
			table(w, "ID\tNAME\tEXPIRES\tLAST USED", func(line func(string, ...any)) {
				for _, k := range r.Keys {
					used := "never"
					if k.LastUsed != nil {
						used = k.LastUsed.Format(time.RFC3339)
					}
					expires := "never"
					if k.Expires != nil {
						expires = k.Expires.Format(time.DateOnly)
					}
					line("%s\t%s\t%s\t%s", k.ID, strings.ReplaceAll(k.Name, "\t", " "), expires, used)
				}
			})
		})
	}
	return cmd
}

func keyRevoke() *cobra.Command {
	cmd := &cobra.Command{Use: "revoke ID", Short: "Revoke a key of the account", Args: cobra.ExactArgs(1)}
	o := bindClient(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := o.client()
		if err != nil {
			return err
		}
		var r struct {
			ID      string `json:"id"`
			Revoked bool   `json:"revoked"`
		}
		if err := c.call(cmd.Context(), http.MethodDelete, "/api/auth/apikeys/"+url.PathEscape(args[0]), nil, &r); err != nil {
			return err
		}
		return show(cmd, r, func(w io.Writer) { _, _ = fmt.Fprintln(w, "revoked", r.ID) })
	}
	return cmd
}

func balanceCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "balance", Short: "Print the account's balance", Args: cobra.NoArgs}
	o := bindClient(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := o.client()
		if err != nil {
			return err
		}
		var b struct {
			Cents     int64  `json:"balance_cents"`
			Formatted string `json:"balance_formatted"`
		}
		if err := c.call(cmd.Context(), http.MethodGet, "/api/balance", nil, &b); err != nil {
			return err
		}
		return show(cmd, b, func(w io.Writer) { _, _ = fmt.Fprintln(w, b.Formatted) })
	}
	return cmd
}
