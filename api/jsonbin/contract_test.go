package jsonbin_test

import (
	"testing"

	"ringbin/api/jsonbin"
)

func TestDocument(t *testing.T) {
	t.Parallel()
	dialect.CheckDocument(t,
		"BinCreatedMeta.name", "BinCreatedMeta.collectionId", "BinUpdatedMeta.version", "CollectionItem.schemaDocId", "Snippet.name")
}

func TestRoutesAndDocumentAgree(t *testing.T) {
	t.Parallel()
	dialect.CheckRoutes(t, jsonbin.Routes())
}
