package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary plays the node when this variable is set.
const playNode = "STANDIN_TEST_PLAY_NODE"

func TestMain(m *testing.M) {
	if os.Getenv(playNode) != "" {
		tuneRuntime()
		os.Exit(k3sMain(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// testNode is a node as a plain process on a loopback address of its own.
type testNode struct {
	t        *testing.T
	name, ip string
	dir      string
	args     []string
	env      []string
	command  *exec.Cmd
	ended    chan struct{}
}

func newTestNode(t *testing.T, name, ip, role string, args ...string) *testNode {
	n := &testNode{t: t, name: name, ip: ip, dir: t.TempDir()}
	n.args = append([]string{role, "--data-dir", n.path("data"), "--node-name", name, "--node-ip", ip}, args...)
	if role == "server" {
		n.args = append(n.args, "--bind-address", ip)
	}
	n.env = []string{"K3S_TOKEN=secret", "STANDIN_SCALE=0.02"}
	t.Cleanup(func() {
		n.kill(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("log of %s:\n%s", n.name, n.log())
		}
	})
	return n
}

func (n *testNode) path(parts ...string) string {
	return filepath.Join(append([]string{n.dir}, parts...)...)
}

func (n *testNode) start(env ...string) *testNode {
	n.t.Helper()
	out, err := os.OpenFile(n.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer out.Close()
	n.command = exec.Command(os.Args[0], n.args...)
	n.command.Env = append(append(os.Environ(), playNode+"=1", "STANDIN_ETC="+n.path("etc"), "STANDIN_RUN="+n.path("run")), n.env...)
	n.command.Env = append(n.command.Env, env...)
	n.command.Stderr = out
	if err := n.command.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.ended = make(chan struct{})
	go func(c *exec.Cmd, ended chan struct{}) {
		_ = c.Wait()
		close(ended)
	}(n.command, n.ended)
	return n
}

func (n *testNode) kill(signal syscall.Signal) int {
	if n.command == nil {
		return 0
	}
	_ = n.command.Process.Signal(signal)
	return n.exitCode()
}

// exitCode waits for the process to end by itself.
func (n *testNode) exitCode() int {
	n.t.Helper()
	select {
	case <-n.ended:
		return n.command.ProcessState.ExitCode()
	case <-time.After(20 * time.Second):
		n.t.Fatalf("%s does not end", n.name)
		return 0
	}
}

func (n *testNode) log() string {
	raw, _ := os.ReadFile(n.path("log"))
	return string(raw)
}

func eventually(t *testing.T, what string, limit time.Duration, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatalf("not within %s: %s", limit, what)
}

func (n *testNode) waitLog(text string) {
	n.t.Helper()
	eventually(n.t, n.name+" logs "+text, 30*time.Second, func() bool { return strings.Contains(n.log(), text) })
}

func (n *testNode) url() string { return "https://" + n.ip + ":6443" }

// anonymous sends a request without a certificate.
func (n *testNode) anonymous(path string) (int, string) {
	client := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	resp, err := client.Get(n.url() + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

func (n *testNode) waitSupervisor() {
	n.t.Helper()
	eventually(n.t, n.name+" serves /cacerts", 20*time.Second, func() bool {
		code, _ := n.anonymous("/cacerts")
		return code == 200
	})
}

// client uses the kubeconfig the node wrote.
func (n *testNode) client() *http.Client {
	n.t.Helper()
	k, err := readKubeconfig(n.path("etc", "k3s.yaml"))
	if err != nil {
		n.t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(k.cert, k.key)
	if err != nil {
		n.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(k.ca)
	return &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}}}}
}

func (n *testNode) request(method, path, contentType, body string) (int, object) {
	n.t.Helper()
	req, err := http.NewRequest(method, n.url()+path, bytes.NewBufferString(body))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	client := n.client()
	client.Timeout = 10 * time.Second
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return 0, object{"message": err.Error()}
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	var answer object
	if json.Unmarshal(raw, &answer) != nil {
		answer = object{"text": string(raw)}
	}
	return resp.StatusCode, answer
}

func (n *testNode) get(path string) (int, object) {
	n.t.Helper()
	return n.request(http.MethodGet, path, "", "")
}

// statusOf is the STATUS column of a node, or "" if there is none.
func (n *testNode) statusOf(node string) string {
	if _, err := os.Stat(n.path("etc", "k3s.yaml")); errors.Is(err, os.ErrNotExist) {
		return ""
	}
	code, o := n.get("/api/v1/nodes/" + node)
	if code != 200 {
		return ""
	}
	return nodeStatus(o).(string)
}

func (n *testNode) waitStatus(node, want string) {
	n.t.Helper()
	eventually(n.t, node+" is "+want+" as "+n.name+" sees it", 30*time.Second, func() bool { return n.statusOf(node) == want })
}
