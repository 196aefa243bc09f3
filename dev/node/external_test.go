package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// externalEtcd runs an etcd that is no part of a cluster and returns its
// endpoint; with an authority it speaks TLS and asks for certificates.
func externalEtcd(t *testing.T, ip string, tlsArgs ...string) string {
	t.Helper()
	scheme := "http"
	if len(tlsArgs) > 0 {
		scheme = "https"
	}
	client, peer := fmt.Sprintf("%s://%s:2379", scheme, ip), fmt.Sprintf("http://%s:2380", ip)
	command := exec.Command("etcd", append([]string{"--data-dir", t.TempDir(), "--listen-client-urls", client,
		"--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", "default=" + peer, "--log-level", "error"}, tlsArgs...)...)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	eventually(t, "etcd listens", 10*time.Second, func() bool {
		conn, err := net.Dial("tcp", ip+":2379")
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return client
}

// Servers that share a data store outside start at once, without a URL, and
// are one cluster; a restart finds it again; another token does not.
func TestExternalDatastore(t *testing.T) {
	t.Parallel()
	endpoint := externalEtcd(t, "127.5.0.9")
	var servers []*testNode
	for i := 0; i < 3; i++ {
		ip := fmt.Sprintf("127.5.0.%d", i+1)
		n := newTestNode(t, fmt.Sprintf("k3d-x-server-%d", i), ip, "server", "--datastore-endpoint", endpoint)
		servers = append(servers, n.start())
	}
	agent := newTestNode(t, "k3d-x-agent-0", "127.5.0.4", "agent", "--server", servers[0].url()).start()
	for _, seer := range servers {
		for _, seen := range append(servers, agent) {
			seer.waitStatus(seen.name, "Ready")
		}
	}

	servers[1].kill(15)
	servers[1].start().waitStatus(agent.name, "Ready")

	stranger := newTestNode(t, "k3d-y-server-0", "127.5.0.5", "server", "--datastore-endpoint", endpoint)
	stranger.start("K3S_TOKEN=another")
	if code := stranger.exitCode(); code != 1 || !strings.Contains(stranger.log(), "encrypted with different token") {
		t.Fatalf("another token: exit code %d", code)
	}
}

// With TLS the data store's files are used.
func TestExternalDatastoreWithTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	authority, err := issue(nil, certRequest{commonName: "authority", authority: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := authority.save(filepath.Join(dir, "ca")); err != nil {
		t.Fatal(err)
	}
	pair, err := issue(authority, certRequest{commonName: "both", hosts: []string{"127.6.0.9"}, client: true, server: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := pair.save(filepath.Join(dir, "both")); err != nil {
		t.Fatal(err)
	}
	ca, crt, key := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "both.crt"), filepath.Join(dir, "both.key")
	endpoint := externalEtcd(t, "127.6.0.9", "--cert-file", crt, "--key-file", key, "--trusted-ca-file", ca, "--client-cert-auth")
	n := newTestNode(t, "k3d-z-server-0", "127.6.0.1", "server")
	n.env = append(n.env, "K3S_DATASTORE_ENDPOINT="+endpoint, "K3S_DATASTORE_CAFILE="+ca)
	n.start()
	n.waitLog("Failed to test data store connection")
	n.kill(15)
	n.start("K3S_DATASTORE_CERTFILE="+crt, "K3S_DATASTORE_KEYFILE="+key).waitStatus(n.name, "Ready")
	if _, err := os.Stat(filepath.Join(n.dir, "data", "server", "db", "state.json")); err == nil {
		t.Error("a data store of its own")
	}
}

// Databases are refused with a line that says so and does not quote.
func TestOtherDatastoresAreRefused(t *testing.T) {
	for _, endpoint := range []string{"mysql://root:pass@tcp(db:3306)/k3s", "postgres://u:pass@db/k3s", "file"} {
		_, err := loadConfig("server", nil, func(name string) (string, bool) {
			value, ok := map[string]string{"K3S_DATASTORE_ENDPOINT": endpoint, "K3S_TOKEN": "secret"}[name]
			return value, ok
		})
		if err == nil || !strings.Contains(err.Error(), "only played for etcd") || strings.Contains(err.Error(), "pass") {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}
