//go:build teeth

package storage

import "os"

// planted is the one mistake that this process makes, or none.
var planted = Bug(os.Getenv("RINGBIN_PLANT"))

// Planted reports whether this process was told to make a mistake.
func Planted(b Bug) bool { return planted == b }
