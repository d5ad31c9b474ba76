package paste69

func languageOf(filename, extension, mediaType, text string) string { return "" }
