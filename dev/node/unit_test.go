package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestProtobuf(t *testing.T) {
	m := message(nil).uint(1, 300).string(2, "name").bytes(3, []byte{0}).bool(5, true).bool(6, false)
	fields, err := parts(m)
	if err != nil {
		t.Fatal(err)
	}
	want := []part{{number: 1, value: 300}, {number: 2, data: []byte("name")}, {number: 3, data: []byte{0}}, {number: 5, value: 1}}
	if !reflect.DeepEqual(fields, want) {
		t.Errorf("%+v", fields)
	}
	for cut := 1; cut < len(m); cut++ {
		if fields, err := parts(m[:cut]); err == nil && len(fields) == len(want) {
			t.Errorf("a message cut at %d was read whole", cut)
		}
	}
}

func TestSelectors(t *testing.T) {
	o := object{"metadata": object{"name": "n1", "labels": object{"a": "1", "b": ""}}, "spec": object{"unschedulable": true}}
	for selector, want := range map[[2]string]bool{
		{"", ""}: true, {"a=1", ""}: true, {"a==1,b", ""}: true, {"a!=1", ""}: false, {"!c", ""}: true, {"!a", ""}: false,
		{"a in (1, 2)", ""}: true, {"a notin (1,2)", ""}: false, {"c notin (1)", ""}: true, {"c!=1", ""}: true,
		{"", "metadata.name=n1"}: true, {"", "metadata.name!=n1"}: false, {"", "spec.unschedulable=true"}: true, {"", "spec.nodeName="}: true,
	} {
		p, err := parseSelectors(selector[0], selector[1])
		if err != nil || p(o) != want {
			t.Errorf("%v: %v, want %v", selector, err, want)
		}
	}
	if _, err := parseSelectors("a=(", ""); err == nil {
		t.Log("a value may hold anything") // kube-apiserver is stricter
	}
	if _, err := parseSelectors("a b", ""); err == nil {
		t.Error("nonsense was accepted")
	}
}

func TestPatches(t *testing.T) {
	const start = `{"spec":{"taints":[{"key":"a","effect":"NoSchedule"}],"unschedulable":true},"metadata":{"labels":{"x/y":"1"}}}`
	for _, c := range []struct{ kind, patch, want string }{
		{strategicPatch, `{"spec":{"unschedulable":null}}`, `{"spec":{"taints":[{"key":"a","effect":"NoSchedule"}]},"metadata":{"labels":{"x/y":"1"}}}`},
		{strategicPatch, `{"spec":{"taints":[{"key":"b"}]}}`, `{"spec":{"taints":[{"key":"a","effect":"NoSchedule"},{"key":"b"}],"unschedulable":true},"metadata":{"labels":{"x/y":"1"}}}`},
		{strategicPatch, `{"spec":{"taints":[{"$patch":"delete","key":"a"}],"unschedulable":null}}`, `{"spec":{"taints":[]},"metadata":{"labels":{"x/y":"1"}}}`},
		{mergePatch, `{"spec":null}`, `{"metadata":{"labels":{"x/y":"1"}}}`},
		{jsonPatch, `[{"op":"test","path":"/metadata/labels/x~1y","value":"1"},{"op":"remove","path":"/spec"},{"op":"add","path":"/metadata/labels/z","value":"2"}]`,
			`{"metadata":{"labels":{"x/y":"1","z":"2"}}}`},
		{jsonPatch, `[{"op":"add","path":"/spec/taints/-","value":{"key":"b"}},{"op":"remove","path":"/spec/taints/0"}]`,
			`{"spec":{"taints":[{"key":"b"}],"unschedulable":true},"metadata":{"labels":{"x/y":"1"}}}`},
	} {
		var o, want object
		_ = json.Unmarshal([]byte(start), &o)
		_ = json.Unmarshal([]byte(c.want), &want)
		got, err := applyPatch(o, c.kind, []byte(c.patch))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v %v", c.patch, got, err)
		}
	}
	for _, bad := range []string{`[{"op":"remove","path":"/no"}]`, `[{"op":"test","path":"/a","value":2}]`, `[{"op":"replace","path":"/l/3","value":1}]`} {
		if _, err := applyPatch(object{"a": 1.0, "l": []interface{}{}}, jsonPatch, []byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestPaths(t *testing.T) {
	for path, want := range map[string]string{
		"/api/v1/nodes": "/registry/nodes/", "/api/v1/nodes/a": "/registry/nodes/a", "/api/v1/nodes/a/status": "/registry/nodes/a",
		"/api/v1/namespaces/kube-system/secrets/x": "/registry/secrets/kube-system/x", "/api/v1/namespaces/default": "/registry/namespaces/default",
	} {
		got, ok := parseTarget(path)
		key := got.listPrefix()
		if got.object != "" {
			key = got.key()
		}
		if !ok || key != want {
			t.Errorf("%s: %v %s", path, ok, key)
		}
	}
	for _, path := range []string{"/api/v1/nothing", "/api/v1/secrets/x", "/api/v1/namespaces/x/nodes", "/apis/apps/v2/deployments", "/api"} {
		if got, ok := parseTarget(path); ok {
			t.Errorf("%s was understood: %+v", path, got)
		}
	}
}

func TestFileStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "db", "state.json")
	ctx := context.Background()
	s, err := openFileStore(file)
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.put(ctx, "/a", []byte(`{"n":1}`), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.put(ctx, "/a", []byte(`{}`), 0); !errors.Is(err, errConflict) {
		t.Errorf("a second creation: %v", err)
	}
	if _, err := s.put(ctx, "/a", []byte(`{"n":2}`), first); err != nil {
		t.Error(err)
	}
	if _, err := s.put(ctx, "/a", nil, first); !errors.Is(err, errConflict) {
		t.Errorf("an old revision: %v", err)
	}
	changes, newest, _, err := s.since(first)
	if err != nil || len(changes) != 1 || newest != first+1 {
		t.Errorf("%v %d %v", changes, newest, err)
	}
	again, err := openFileStore(file)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := again.get("/a"); err != nil || string(e.value) != `{"n":2}` || e.revision != first+1 {
		t.Errorf("after reopening: %s %v", e.value, err)
	}
	if _, _, _, err := again.since(first); !errors.Is(err, errGone) {
		t.Errorf("history before the start: %v", err)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	s := newStore()
	for i := int64(1); i <= 3*historyLength; i++ {
		s.apply("/k", []byte("v"), i)
	}
	if _, _, _, err := s.since(1); !errors.Is(err, errGone) {
		t.Errorf("%v", err)
	}
	changes, _, _, err := s.since(3*historyLength - 10)
	if err != nil || len(changes) != 10 {
		t.Errorf("%d %v", len(changes), err)
	}
}

func TestNodeNames(t *testing.T) {
	for pattern, names := range map[string][2]string{
		"agent-1": {"k3d-x-agent-1", "k3d-x-agent-11"}, "*-server-?": {"k3d-x-server-0", "k3d-x-server-10"}, "k3d-x-agent-1": {"k3d-x-agent-1", "k3d-y-agent-1"},
	} {
		yes, _ := matchNode(pattern, names[0])
		no, _ := matchNode(pattern, names[1])
		if !yes || no {
			t.Errorf("%s: %v %v", pattern, yes, no)
		}
	}
}

// environment makes a lookup from KEY=value items.
func environment(items ...string) lookup {
	m := map[string]string{}
	for _, item := range items {
		key, value, _ := strings.Cut(item, "=")
		m[key] = value
	}
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

func TestConfigRefuses(t *testing.T) {
	for _, bad := range []string{"STANDIN_SCALE=fast", "STANDIN_SCALE=0", "STANDIN_TICK=-1", "STANDIN_READY=1", "STANDIN_CRASH=never", "STANDIN_CRASH=api:0",
		"STANDIN_HANG=api@[", "STANDIN_OOM=", "STANDIN_SLOW=x@y", "STANDIN_DATASTORE=sqlite", "STANDIN_NEVER_READY=[", "STANDIN_DISK_PRESSURE=["} {
		_, err := loadConfig("server", nil, environment(bad))
		if (err == nil) != strings.HasSuffix(bad, "=") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, args := range [][]string{{"--no-such-flag"}, {"--token"}, {"--datastore-endpoint", "postgres://x"}, {"--cluster-reset"}, {"--server", "http://x"}} {
		if _, err := loadConfig("server", args, environment("K3S_TOKEN=x")); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}

func TestConfigUnderstands(t *testing.T) {
	args := []string{"--tls-san", "a", "--tls-san=b,c", "-t", "secret", "--cluster-init", "--disable", "traefik", "--node-label", "x=y",
		"--kubelet-arg=a=b", "--flannel-backend", "none", "--secrets-encryption", "--node-name", "N1", "--node-ip", "127.0.0.9"}
	cfg, err := loadConfig("server", args, environment("STANDIN_SCALE=0.5", "STANDIN_SLOW=2@n1", "STANDIN_TICK=3", "STANDIN_CRASH=api@n2,ready@n1:2"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(cfg.tlsSANs, " ") != "a b c" || cfg.token != "secret" || !cfg.clusterInit || cfg.nodeName != "n1" {
		t.Errorf("%+v", cfg)
	}
	if cfg.times.up != measured().up || cfg.times.learnerPoll != measured().learnerPoll/2 || cfg.times.promoteTick != 3*time.Second {
		t.Errorf("%+v", cfg.times)
	}
	if len(cfg.faults.list) != 1 || cfg.faults.list[0].times != 2 {
		t.Errorf("%+v", cfg.faults.list)
	}
}

func TestFaultsAreCountedOverRestarts(t *testing.T) {
	f := faults{countDir: t.TempDir()}
	order := fault{kind: "crash", stage: stageAPI, times: 2}
	for i, want := range []bool{true, true, false} {
		if f.due(order) != want {
			t.Errorf("occurrence %d", i+1)
		}
	}
}

func TestImages(t *testing.T) {
	t.Setenv("K3S_DATA_DIR", t.TempDir())
	whole := dockerArchive(t, "config.json", "layer.tar")
	a, err := readArchive(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	if err := recordImages(a.images()); err != nil {
		t.Fatal(err)
	}
	list, err := sortedImages()
	if err != nil || len(list) != 1 || list[0].Name != "docker.io/library/app:1" || list[0].Size != 20 {
		t.Errorf("%+v %v", list, err)
	}
	if _, err := readArchive(bytes.NewReader(whole[:700])); err == nil {
		t.Error("a cut archive was accepted")
	}
	if _, err := readArchive(bytes.NewReader(dockerArchive(t, "config.json"))); err == nil {
		t.Error("an archive without its layer was accepted")
	}
	for short, full := range map[string]string{"a": "docker.io/library/a:latest", "u/a:1": "docker.io/u/a:1", "localhost/a": "localhost/a:latest", "r.example:5000/a/b:2": "r.example:5000/a/b:2"} {
		if got := fullName(short); got != full {
			t.Errorf("%s: %s", short, got)
		}
	}
}

func TestBlobsHaveTheDigestTheyAreCalledBy(t *testing.T) {
	const digest = "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882" // of 0123456789
	if _, err := readArchive(bytes.NewReader(dockerArchive(t, "config.json", "layer.tar", digest+".json"))); err != nil {
		t.Error(err)
	}
	wrong := "0" + digest[1:]
	if _, err := readArchive(bytes.NewReader(dockerArchive(t, "config.json", "layer.tar", "blobs/sha256/"+wrong))); err == nil {
		t.Error("a damaged blob was accepted")
	}
}

func TestLayersHaveTheDigestsThatTheirImageNames(t *testing.T) {
	const digest = "sha256:84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882" // of 0123456789
	for diffID, good := range map[string]bool{digest: true, digest[:70] + "0": false} {
		config := `{"rootfs": {"type": "layers", "diff_ids": ["` + diffID + `"]}}`
		a := &archive{
			sizes:    map[string]int64{"c.json": 1, "l/layer.tar": 10},
			digests:  map[string]string{"l/layer.tar": digest},
			small:    map[string][]byte{"c.json": []byte(config), "l/layer.tar": []byte("0123456789")},
			manifest: []dockerManifest{{Config: "c.json", Layers: []string{"l/layer.tar"}, RepoTags: []string{"a:1"}}},
		}
		if err := a.check(); (err == nil) != good {
			t.Errorf("%s: %v", diffID, err)
		}
		if layers := a.images()[0].Layers; len(layers) != 1 || layers[0] != diffID {
			t.Errorf("%v", layers)
		}
	}
}

func TestNamesOfOneImageAreOneEntry(t *testing.T) {
	list := criImages([]image{{"a:1", "sha256:1", 5, nil}, {"b:1", "sha256:2", 6, nil}, {"c:1", "sha256:1", 5, nil}})
	if len(list) != 2 || strings.Join(list[0].names, " ") != "a:1 c:1" || list[1].id != "sha256:2" {
		t.Errorf("%+v", list)
	}
}

func TestNamesOfAnIndex(t *testing.T) {
	a := &archive{}
	raw := `{"manifests":[{"digest":"sha256:1","annotations":{"io.containerd.image.name":"docker.io/library/a:1","org.opencontainers.image.ref.name":"1"}},` +
		`{"digest":"sha256:2","annotations":{"org.opencontainers.image.ref.name":"v2"}},{"digest":"sha256:3"}]}`
	if err := json.Unmarshal([]byte(raw), &a.index); err != nil {
		t.Fatal(err)
	}
	list := a.images()
	if len(list) != 2 || list[0].Name != "docker.io/library/a:1" || list[1].Name != "import-"+time.Now().Format("2006-01-02")+":v2" {
		t.Errorf("%+v", list)
	}
}

func dockerArchive(t *testing.T, files ...string) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	add := func(name, content string) {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range files {
		add(name, "0123456789")
	}
	add("manifest.json", `[{"Config":"config.json","RepoTags":["app:1"],"Layers":["layer.tar"]}]`)
	w.Close()
	return buffer.Bytes()
}

func TestCertificates(t *testing.T) {
	authority, err := issue(nil, certRequest{commonName: "ca", authority: true})
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(t.TempDir(), "x")
	first, err := loadOrIssue(base, authority, certRequest{commonName: "x", hosts: []string{"h", "10.0.0.1"}, server: true})
	if err != nil {
		t.Fatal(err)
	}
	if first.cert.VerifyHostname("10.0.0.1") != nil || first.cert.VerifyHostname("h") != nil || first.cert.VerifyHostname("other") == nil {
		t.Error("wrong names")
	}
	again, err := loadOrIssue(base, authority, certRequest{})
	if err != nil || !again.cert.Equal(first.cert) {
		t.Errorf("the certificate did not survive: %v", err)
	}
	if info, _ := os.Stat(base + ".key"); info.Mode().Perm() != 0o600 {
		t.Errorf("key's mode %v", info.Mode())
	}
}

func TestAges(t *testing.T) {
	for d, want := range map[time.Duration]string{5 * time.Second: "5s", 90 * time.Second: "90s", 3*time.Minute + 5*time.Second: "3m5s",
		20 * time.Minute: "20m", 4*time.Hour + 2*time.Minute: "4h2m", 30 * time.Hour: "30h", 10 * 24 * time.Hour: "10d"} {
		if got := age(time.Now().Add(-d).UTC().Format(time.RFC3339)); got != want {
			t.Errorf("%s: %s", d, got)
		}
	}
}

func TestConfigMapsOfManifests(t *testing.T) {
	text := "# made by a tool\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  namespace: kube-system\ndata:\n" +
		"  plain: \"x\"\n  zones.server: |\n    one {\n      two\n    }\n---\nkind: ConfigMap\nmetadata:\n  name: b\n"
	found, err := parseConfigMaps(text)
	if err != nil || len(found) != 2 {
		t.Fatalf("%v, %v", found, err)
	}
	if got := stringMap(found[0], "data"); got["plain"] != "x" || got["zones.server"] != "one {\n  two\n}\n" {
		t.Errorf("data is %q", got)
	}
	if stringField(found[0], "metadata", "namespace") != "kube-system" || stringField(found[1], "metadata", "namespace") != "default" {
		t.Errorf("namespaces of %v", found)
	}
	for _, bad := range []string{"kind: Deployment\nmetadata:\n  name: x\n", "kind: ConfigMap\nspec:\n  a: b\n", "kind: ConfigMap\n",
		"kind: ConfigMap\nmetadata:\n  name: x\n  labels:\n    a: b\n", "[1, 2]"} {
		if found, err := parseConfigMaps(bad); err == nil {
			t.Errorf("%q was taken for %v", bad, found)
		}
	}
}

func TestDiskPressureIsAConditionAndATaint(t *testing.T) {
	o := newObject("v1", "Node", "", "n1")
	for i := 0; i < 2; i++ { // a node that restarts registers again
		describeNode(o, registration{Name: "n1", Ready: true, DiskPressure: true, Taints: []string{"a=b:NoSchedule"}}, "10.42.0.0/24")
	}
	if c := condition(o, "DiskPressure"); c["status"] != "True" || c["message"] != "kubelet has disk pressure" {
		t.Errorf("%v", c)
	}
	if c := condition(o, "Ready"); c["status"] != "True" {
		t.Errorf("%v", c)
	}
	if taints := field(o, "spec", "taints").([]interface{}); len(taints) != 2 {
		t.Errorf("%v", taints)
	}
}

func TestACrashSaysWhatItIsToldTo(t *testing.T) {
	env := environment("STANDIN_CRASH=start,api:2", "STANDIN_SAYS=no space left, on device")
	cfg, err := loadConfig("server", nil, env)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range cfg.faults.list {
		if f.says != "no space left, on device" {
			t.Errorf("%+v", f)
		}
	}
}
