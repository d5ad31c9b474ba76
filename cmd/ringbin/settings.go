package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func settingsCommand() *cobra.Command {
	get := &cobra.Command{Use: "get", Short: "Print the settings", Args: cobra.NoArgs}
	o := bindOperator(get)
	get.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := o.operator()
		if err != nil {
			return err
		}
		return settings(cmd, c, http.MethodGet, nil)
	}
	set := &cobra.Command{
		Use: "set NAME=VALUE...", Short: "Change settings for all nodes", Args: cobra.MinimumNArgs(1),
		Example: "  ringbin settings set quota_bytes=1073741824 paste69.keys_mode=open paste69.fetch_ports=80,443",
	}
	so := bindOperator(set)
	set.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := so.operator()
		if err != nil {
			return err
		}
		in := map[string]any{}
		for _, a := range args {
			name, value, ok := strings.Cut(a, "=")
			if !ok {
				return fmt.Errorf("%q is not NAME=VALUE", a)
			}
			if err := nest(in, name, settingValue(name, value)); err != nil {
				return err
			}
		}
		return settings(cmd, c, http.MethodPatch, in)
	}
	return group("settings", "The cluster's settings (operator)", get, set)
}

// nest puts a value where its dotted name says: a.b is member b of object a.
func nest(in map[string]any, name string, value any) error {
	for {
		first, rest, deeper := strings.Cut(name, ".")
		if !deeper {
			in[name] = value
			return nil
		}
		if in[first] == nil {
			in[first] = map[string]any{}
		}
		inner, ok := in[first].(map[string]any)
		if !ok {
			return fmt.Errorf("%s is given a value and members", first)
		}
		in, name = inner, rest
	}
}

// listSettings are the settings that are lists, by the last part of their names.
var listSettings = []string{"cors_origins", "fetch_ports", "fetch_deny"}

// settingValue is a value as JSON has it: numbers, true and false as such,
// lists by commas.
func settingValue(name, value string) any {
	if slices.Contains(listSettings, name[strings.LastIndexByte(name, '.')+1:]) {
		list := []any{}
		for item := range strings.SplitSeq(value, ",") {
			if item != "" {
				list = append(list, scalar(item))
			}
		}
		return list
	}
	return scalar(value)
}

func scalar(text string) any {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return text
}

func settings(cmd *cobra.Command, c *client, method string, in any) error {
	v := map[string]any{}
	if err := c.call(cmd.Context(), method, "/api/admin/settings", in, &v); err != nil {
		return err
	}
	return show(cmd, v, func(w io.Writer) { tellSettings(w, "", v) })
}

// tellSettings prints a line for each setting, members under dotted names.
func tellSettings(w io.Writer, prefix string, v map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if inner, ok := v[name].(map[string]any); ok {
			tellSettings(w, prefix+name+".", inner)
			continue
		}
		b, _ := json.Marshal(v[name]) // it was JSON a moment ago
		_, _ = fmt.Fprintf(w, "%-28s %s\n", prefix+name, b)
	}
}
