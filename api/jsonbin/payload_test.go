package jsonbin

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestRights(t *testing.T) {
	t.Parallel()
	const sample = "{\n  bins: {\n    read: true,\n    update: false,\n    delete: false,\n    create: true,\n  }\n}\n"
	for body, want := range map[string]string{
		sample: "create read",
		`{"bins":{"read":true,"update":true,"delete":true,"create":true}}`:       "create delete read update",
		`{"bins":{"read":false,"update":false,"delete":false,"create":false}}`:   "",
		`{"\u0062ins":{"read":true,"update":false,"delete":false,create:true},}`: "create read",
	} {
		rights, ok := parseRights([]byte(body))
		slices.Sort(rights)
		if !ok || strings.Join(rights, " ") != want {
			t.Errorf("%s: %v %t", body, rights, ok)
		}
	}
	for _, body := range []string{
		"", "{}", "[]", "null", `{"bins":{}}`, `{"bins":true}`, sample + "x", sample + sample,
		`{"bins":{"read":true,"update":true,"delete":true}}`,
		`{"bins":{"read":true,"update":true,"delete":true,"create":1}}`,
		`{"bins":{"read":true,"update":true,"delete":true,"create":"true"}}`,
		`{"bins":{"read":true,"update":true,"delete":true,"create":null}}`,
		`{"bins":{"read":true,"update":true,"delete":true,"create":True}}`,
		`{"bins":{"read":true,"update":true,"delete":true,"create":true,"more":true}}`,
		`{"bins":{"read":true,"update":true,"delete":true,"create":true,"read":true}}`,
		`{"bins":{"read":true,"update":true,"delete":true,"create":true},"x":1}`,
		`{"bins":{"read":true,"update":true,"delete":true,"create":true},"bins":{"read":true,"update":true,"delete":true,"create":true}}`,
		`{'bins':{'read':true,'update':true,'delete':true,'create':true}}`,
		`{"bins":{"read":true,"update":true,"delete":true,"create":true,,}}`,
		`{,"bins":{"read":true,"update":true,"delete":true,"create":true}}`,
		`{"bins":{"read":true "update":true,"delete":true,"create":true}}`,
		"{// no\nbins:{read:true,update:true,delete:true,create:true}}",
	} {
		if rights, ok := parseRights([]byte(body)); ok {
			t.Errorf("%s gives %v", body, rights)
		}
	}
}

// FuzzRights holds what is taken against what JSON says of it, where it is JSON.
func FuzzRights(f *testing.F) {
	f.Add([]byte(`{"bins":{"read":true,"update":false,"delete":true,"create":true}}`))
	f.Add([]byte("{bins:{read:true,update:false,delete:true,create:true,}}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		rights, ok := parseRights(body)
		var v map[string]map[string]bool
		if err := json.Unmarshal(body, &v); err != nil || !ok {
			return
		}
		if len(v) != 1 || len(v["bins"]) != 4 {
			t.Fatalf("%q gives %v", body, rights)
		}
		for right, may := range v["bins"] {
			if slices.Contains(rights, right) != may {
				t.Fatalf("%q gives %v", body, rights)
			}
		}
	})
}
