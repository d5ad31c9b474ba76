package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/spf13/cobra"
)

// envPrefix is what the variables begin with: --data-dir is RINGBIN_DATA_DIR.
const envPrefix = "RINGBIN_"

// notInFile are options that a file can't hold.
var notInFile = []string{"config", "help", "output"}

// mergeOptions fills the options that were not given as flags: from RINGBIN_*
// variables, then from the configuration file. Flags, variables and keys of
// the file share one name. A key that no command knows is refused.
func mergeOptions(cmd *cobra.Command) error {
	path, err := cmd.Flags().GetString("config")
	if err != nil {
		return err
	}
	if path == "" {
		path = os.Getenv(envName("config"))
	}
	file := map[string]any{}
	if path != "" {
		if _, err := toml.DecodeFile(path, &file); err != nil {
			return fmt.Errorf("config %s: %w", path, err)
		}
	}
	return apply(cmd, file, os.LookupEnv)
}

func envName(option string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(option, "-", "_"))
}

// apply sets options from variables and a file's keys.
func apply(cmd *cobra.Command, file map[string]any, env func(string) (string, bool)) error {
	known := optionsOf(cmd.Root())
	for key := range file {
		if !known[key] || slices.Contains(notInFile, key) {
			return fmt.Errorf("config: unknown key %q", key)
		}
	}
	for option := range optionsOfOne(cmd) {
		flag := cmd.Flags().Lookup(option)
		if flag == nil || flag.Changed {
			continue
		}
		value, given := env(envName(option))
		source := envName(option)
		if !given {
			raw, inFile := file[option]
			if !inFile {
				continue
			}
			var err error
			if value, err = text(raw); err != nil {
				return fmt.Errorf("config: %s: %w", option, err)
			}
			source = "config: " + option
		}
		if err := cmd.Flags().Set(option, value); err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
	}
	return nil
}

// text is a TOML value as a flag would be given.
func text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool, int64:
		return fmt.Sprint(v), nil
	case []any:
		parts := make([]string, len(v))
		for i, p := range v {
			s, ok := p.(string)
			if !ok {
				return "", fmt.Errorf("a list of strings is wanted, not %T", p)
			}
			parts[i] = s
		}
		return strings.Join(parts, ","), nil
	}
	return "", fmt.Errorf("a string, a number, true or false, or a list of strings is wanted, not %T", v)
}

// optionsOf are the options of a command and all below it: one file may serve
// several commands.
func optionsOf(cmd *cobra.Command) map[string]bool {
	all := optionsOfOne(cmd)
	for _, c := range cmd.Commands() {
		for o := range optionsOf(c) {
			all[o] = true
		}
	}
	return all
}

func optionsOfOne(cmd *cobra.Command) map[string]bool {
	all := map[string]bool{}
	add := func(usage string) {
		for line := range strings.Lines(usage) {
			if _, rest, ok := strings.Cut(line, "--"); ok {
				name, _, _ := strings.Cut(rest, " ")
				all[strings.TrimSpace(name)] = true
			}
		}
	}
	add(cmd.LocalFlags().FlagUsages())
	add(cmd.InheritedFlags().FlagUsages())
	return all
}
