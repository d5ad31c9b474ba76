package highlight

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/alecthomas/chroma/v2/lexers"
	"github.com/go-enry/go-enry/v2"
	"github.com/go-enry/go-enry/v2/data"
)

// trimTables lets go of what the classifier knows of languages that it is never
// asked about: three quarters of 17 MiB, which each process would hold for good.
var trimTables = sync.OnceFunc(func() {
	asked := askedLanguages()
	maps.DeleteFunc(data.TokensLogProbabilities, func(language string, _ map[string]float64) bool { return !asked[language] })
})

// askedLanguages are those that the classifier has to tell from each other:
// they are guessed by content alone, or share an extension, and have lexers.
func askedLanguages() map[string]bool {
	lexed := map[string]bool{}
	for _, lexer := range lexers.GlobalLexerRegistry.Lexers {
		for _, name := range append(lexer.Config().Aliases, lexer.Config().Name) {
			lexed[strings.ToLower(name)] = true
		}
	}
	asked := map[string]bool{}
	for _, language := range guessed {
		asked[language] = true
	}
	for _, sharing := range data.LanguagesByExtension {
		sharing = slices.DeleteFunc(slices.Clone(sharing), func(language string) bool { return !lexed[strings.ToLower(language)] })
		if len(sharing) < 2 {
			continue
		}
		for _, language := range sharing {
			asked[language] = true
		}
	}
	return asked
}

// classify orders candidates by how well the words of a text go with them.
func classify(name string, head []byte, candidates []string) []string {
	trimTables() // before it reads them, not while
	return enry.GetLanguagesByClassifier(name, head, candidates)
}
