package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestRequestFileIsFoundBehindRuncsFlags(t *testing.T) {
	for _, c := range []struct {
		args  []string
		path  string
		whole bool
	}{
		{[]string{"--root", "/r", "--log", "/l", "--log-format", "json", "create", "--bundle", "/b", "--pid-file", "/p", "id"}, "/b/config.json", true},
		{[]string{"--systemd-cgroup", "--root=/create", "create", "-b", "/b", "id"}, "/b/config.json", true},
		{[]string{"--debug", "run", "id"}, "./config.json", true},
		{[]string{"exec", "--detach", "--pid-file", "/p", "--process", "/tmp/process", "id"}, "/tmp/process", false},
		{[]string{"exec", "-p=/tmp/process", "id"}, "/tmp/process", false},
		{[]string{"exec", "id", "ls", "--process", "x"}, "", false},
		{[]string{"--root", "create", "state", "id"}, "", false},
		{[]string{"--version"}, "", false},
	} {
		path, whole := requestFile(c.args)
		if path != c.path || whole != c.whole {
			t.Errorf("%v: %q %v, want %q %v", c.args, path, whole, c.path, c.whole)
		}
	}
}

func TestWhatWeLackIsTakenOutAndAllElseStays(t *testing.T) {
	have := limits{capabilities: 1<<41 - 1 - 1<<sysResource, oomScore: 1}
	const request = `{"ociVersion":"1.0.2","process":{"capabilities":{"bounding":["CAP_CHOWN","CAP_SYS_RESOURCE","CAP_NEWER"]},` +
		`"env":["A=CAP_SYS_RESOURCE"],"oomScoreAdj":-999,"unknown":{"x":1e9}},"later":[1.50]}`
	const want = `{"ociVersion":"1.0.2","process":{"capabilities":{"bounding":["CAP_CHOWN","CAP_NEWER"]},` +
		`"env":["A=CAP_SYS_RESOURCE"],"unknown":{"x":1e9}},"later":[1.50]}`
	relaxed, err := inMember([]byte(request), "process", have.relaxProcess)
	if err != nil || string(relaxed) != want {
		t.Errorf("%s %v, want %s", relaxed, err, want)
	}
}

func TestAHigherOOMScoreStays(t *testing.T) {
	have := limits{oomScore: 1}
	relaxed, err := have.relaxProcess([]byte(`{"oomScoreAdj":500}`))
	if err != nil || string(relaxed) != `{"oomScoreAdj":500}` {
		t.Errorf("%s %v", relaxed, err)
	}
}

func TestLimitsComeDownToOurs(t *testing.T) {
	lowered, err := lowerRlimits([]byte(`[{"type":"RLIMIT_NOFILE","hard":18446744073709551615,"soft":18446744073709551615},{"type":"RLIMIT_X","hard":7,"soft":7}]`))
	var got []rlimit
	if err != nil || json.Unmarshal(lowered, &got) != nil {
		t.Fatal(err)
	}
	if got[0].Hard != got[0].Soft || got[1] != (rlimit{"RLIMIT_X", 7, 7}) {
		t.Error(got)
	}
}

func TestAFileIsOverwrittenInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, []byte(`{"a":"long"}`), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := overwrite(path, []byte(`{}`), 12); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "{}          " {
		t.Errorf("%q", got)
	}
}
