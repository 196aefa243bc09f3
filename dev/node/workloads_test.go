package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// available lists the workloads of a kind that satisfy done, by name.
func available(n *testNode, path string, done predicate) map[string]bool {
	_, list := n.get(path)
	items, _ := list["items"].([]interface{})
	found := map[string]bool{}
	for _, item := range items {
		o, _ := item.(object)
		found[stringField(o, "metadata", "name")] = done(o)
	}
	return found
}

func allTrue(found map[string]bool, names ...string) bool {
	for _, name := range names {
		if !found[name] {
			return false
		}
	}
	return len(found) == len(names)
}

func (n *testNode) manifest(name, content string) {
	n.t.Helper()
	file := n.path("data", "server", "manifests", name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

const appsPath = "/apis/apps/v1/namespaces/kube-system/"

func TestWorkloadsOfKubeSystem(t *testing.T) {
	t.Parallel()
	s := newTestNode(t, "k3d-w-server-0", "127.1.8.1", "server", "--disable", "metrics-server,local-storage,unwanted")
	s.manifest("mine.yaml", "kind: ConfigMap\nmetadata:\n  name: mine\n  namespace: kube-system\ndata:\n  a: b\n")
	s.manifest("other.yaml", "kind: Deployment\nmetadata:\n  name: mine\n")
	s.manifest("unwanted.yaml", "kind: ConfigMap\nmetadata:\n  name: unwanted\n")
	s.manifest("skipped.yaml", "kind: ConfigMap\nmetadata:\n  name: skipped\n")
	s.manifest("skipped.yaml.skip", "")
	s.start()
	s.waitStatus("k3d-w-server-0", "Ready")
	applied := func(o object) bool { return stringField(o, "spec", "checksum") != "" }
	eventually(t, "manifests are applied, all but what is no ConfigMap", 10*time.Second, func() bool {
		found := available(s, "/apis/k3s.cattle.io/v1/namespaces/kube-system/addons", applied)
		other, exists := found["other"]
		delete(found, "other")
		return exists && !other && allTrue(found, "ccm", "coredns", "mine", "rolebindings", "traefik")
	})
	if _, err := os.Stat(s.path("data", "server", "manifests", "unwanted.yaml")); !os.IsNotExist(err) {
		t.Errorf("a manifest of a disabled name is still there: %v", err)
	}
	if code, o := s.get("/api/v1/namespaces/kube-system/configmaps/mine"); code != 200 || stringMap(o, "data")["a"] != "b" {
		t.Errorf("the ConfigMap of a manifest: %d %v", code, o)
	}
	eventually(t, "deployments are available, traefik's too", 10*time.Second, func() bool {
		found := available(s, appsPath+"deployments", func(o object) bool { return isTrue(o, "Available") })
		return allTrue(found, "coredns", "traefik")
	})
	jobs := available(s, "/apis/batch/v1/namespaces/kube-system/jobs", func(o object) bool { return isTrue(o, "Complete") })
	if !allTrue(jobs, "helm-install-traefik", "helm-install-traefik-crd") {
		t.Errorf("jobs are %v", jobs)
	}
	eventually(t, "the daemonset has its pod", 10*time.Second, func() bool {
		_, o := s.get(appsPath + "daemonsets/svclb-traefik")
		return field(o, "status", "numberAvailable") == 1.0 && field(o, "status", "desiredNumberScheduled") == 1.0
	})
}

func TestWorkloadsThatNeverBecomeAvailable(t *testing.T) {
	t.Parallel()
	s := newTestNode(t, "k3d-v-server-0", "127.1.8.2", "server", "--disable", "traefik")
	s.start("STANDIN_NEVER_AVAILABLE=core*")
	s.waitStatus("k3d-v-server-0", "Ready")
	eventually(t, "the others are available", 10*time.Second, func() bool {
		found := available(s, appsPath+"deployments", func(o object) bool { return isTrue(o, "Available") })
		return found["metrics-server"] && found["local-path-provisioner"]
	})
	_, o := s.get(appsPath + "deployments/coredns")
	if c := condition(o, "Available"); c["status"] != "False" || c["message"] != "Deployment does not have minimum availability." {
		t.Errorf("coredns says %v", c)
	}
}
