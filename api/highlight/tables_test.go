package highlight

import (
	"testing"

	"github.com/go-enry/go-enry/v2/data"
)

// Whatever the classifier may be asked about, it still knows; and it holds
// little else.
func TestTablesTrimmed(t *testing.T) {
	t.Parallel()
	trimTables()
	asked, lexed := askedLanguages(), map[string]bool{}
	for _, language := range guessed {
		if len(data.TokensLogProbabilities[language]) == 0 {
			t.Errorf("nothing is known of %s", language)
		}
	}
	for extension, sharing := range data.LanguagesByExtension {
		if len(sharing) < 2 {
			continue
		}
		var candidates []string
		for _, language := range sharing {
			has, looked := lexed[language]
			if !looked { // it is slow
				has = known([]string{language}) != nil
				lexed[language] = has
			}
			if has {
				candidates = append(candidates, language)
			}
		}
		for _, language := range candidates {
			if len(candidates) > 1 && !asked[language] {
				t.Errorf("%s: nothing is known of %s", extension, language)
			}
		}
	}
	words := 0
	for _, table := range data.TokensLogProbabilities {
		words += len(table)
	}
	if most := 70_000; words > most {
		t.Errorf("%d words are kept, want %d at most", words, most)
	}
}
