package main

import (
	"reflect"
	"testing"
)

func TestConfigMapsAreRead(t *testing.T) {
	o, err := parseConfigMap("# mine\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  namespace: kube-public\n" +
		"data:\n  plain: \"b: c\"\n  block.v1: |\n    host: \"x:1\"\n\n      deeper\n  last: d\n")
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]string{"plain": "b: c", "block.v1": "host: \"x:1\"\n\n  deeper\n", "last": "d"}
	if found := stringMap(o, "data"); !reflect.DeepEqual(wanted, found) {
		t.Errorf("data is %q, not %q", found, wanted)
	}
	if name := stringField(o, "metadata", "namespace") + "/" + stringField(o, "metadata", "name"); name != "kube-public/a" {
		t.Errorf("it is called %s", name)
	}
}

func TestOtherManifestsAreRefused(t *testing.T) {
	for _, text := range []string{
		"kind: Secret\nmetadata:\n  name: a\n",
		"kind: ConfigMap\nmetadata:\n  labels:\n    a: b\n",
		"kind: ConfigMap\n",
		"- a\n",
		"kind: ConfigMap\nmetadata:\n  name: a\nspec:\n  x: y\n",
	} {
		if o, err := parseConfigMap(text); err == nil {
			t.Errorf("%q is read as %v", text, o)
		}
	}
}
