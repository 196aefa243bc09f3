package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestServerAndAgent(t *testing.T) {
	t.Parallel()
	s := newTestNode(t, "k3d-x-server-0", "127.1.0.1", "server", "--tls-san", "lb.example").start()
	a := newTestNode(t, "k3d-x-agent-0", "127.1.0.2", "agent", "--server", s.url(), "--node-label", "tier=gold").start()
	s.waitStatus("k3d-x-server-0", "Ready")
	s.waitStatus("k3d-x-agent-0", "Ready")

	t.Run("stages in order", func(t *testing.T) { checkOrder(t, s.log(), serverLines) })
	t.Run("agent's stages", func(t *testing.T) { checkOrder(t, a.log(), agentLines) })
	t.Run("who may ask", func(t *testing.T) { checkAuthentication(t, s) })
	t.Run("kubeconfig", func(t *testing.T) { checkKubeconfig(t, s) })
	t.Run("labels", func(t *testing.T) {
		_, list := s.get("/api/v1/nodes?labelSelector=tier%3Dgold,!node-role.kubernetes.io/control-plane")
		if items := list["items"].([]interface{}); len(items) != 1 {
			t.Errorf("selected %d nodes, want 1", len(items))
		}
	})
	t.Run("watch and cordon", func(t *testing.T) { checkWatch(t, s) })
	t.Run("a foreign password", func(t *testing.T) { checkForeignPassword(t, s) })
	t.Run("stop and start", func(t *testing.T) { checkRestart(t, s, a) })
}

var serverLines = []string{"Starting k3s v1.21.2+k3s1 (5a67e8dc)", "Wrote kubeconfig", "Waiting for API server to become available",
	"Running kube-apiserver", "Containerd is now running", "k3s is up and running", "\"Started kubelet\"",
	"\"Successfully registered node\" node=\"k3d-x-server-0\"", "Node CIDR assigned for: k3d-x-server-0"}

var agentLines = []string{"Starting k3s agent", "Running load balancer 127.0.0.1:6444 -> [127.1.0.1:6443]", "failed to get CA certs: Get",
	"Containerd is now running", "Connecting to proxy", "Waiting for node k3d-x-agent-0", "Successfully registered node", "Node CIDR assigned"}

func checkOrder(t *testing.T, log string, lines []string) {
	t.Helper()
	for _, line := range lines {
		_, rest, found := strings.Cut(log, line)
		if !found {
			t.Fatalf("%q is missing or too early", line)
		}
		log = rest
	}
}

func checkAuthentication(t *testing.T, s *testNode) {
	for path, want := range map[string]int{"/cacerts": 200, "/ping": 200, "/readyz": 401, "/api/v1/nodes": 401,
		"/v1-k3s/serving-kubelet.crt": 401, "/v1-k3s/server-bootstrap": 401} {
		if code, _ := s.anonymous(path); code != want {
			t.Errorf("%s without a certificate: %d, want %d", path, code, want)
		}
	}
	if code, answer := s.get("/readyz?verbose"); code != 200 || !strings.Contains(answer["text"].(string), "readyz check passed") {
		t.Errorf("/readyz?verbose: %d %v", code, answer)
	}
}

func checkKubeconfig(t *testing.T, s *testNode) {
	file := s.path("etc", "k3s.yaml")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	raw, _ := os.ReadFile(file)
	if strings.Count(string(raw), "name: default") != 3 {
		t.Errorf("cluster, context and user must be called default:\n%s", raw)
	}
}

// checkWatch cordons and expects the change in a watch that began before.
func checkWatch(t *testing.T, s *testNode) {
	_, list := s.get("/api/v1/nodes")
	version := stringField(list, "metadata", "resourceVersion")
	resp, err := s.client().Get(s.url() + "/api/v1/nodes?watch=1&timeoutSeconds=20&resourceVersion=" + version)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	code, _ := s.request(http.MethodPatch, "/api/v1/nodes/k3d-x-agent-0", strategicPatch, `{"spec":{"unschedulable":true}}`)
	if code != 200 {
		t.Fatalf("cordon: %d", code)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct {
			Type   string
			Object object
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			t.Fatal(err)
		}
		if event.Type == "MODIFIED" && nodeStatus(event.Object) == "Ready,SchedulingDisabled" {
			return
		}
	}
	t.Error("the watch ended without the change")
}

func checkForeignPassword(t *testing.T, s *testNode) {
	thief := newTestNode(t, "k3d-x-agent-0", "127.1.0.3", "agent", "--server", s.url()).start()
	thief.waitLog("Node password rejected, duplicate hostname")
	thief.kill(syscall.SIGKILL)
	if code, _ := s.request(http.MethodDelete, "/api/v1/nodes/k3d-x-agent-0", "", ""); code != 200 {
		t.Fatalf("delete: %d", code)
	}
	if code, _ := s.get("/api/v1/namespaces/kube-system/secrets/k3d-x-agent-0.node-password.k3s"); code != 404 {
		t.Errorf("the password outlived its node: %d", code)
	}
}

// checkRestart stops both and finds the same cluster again. The agent's Node
// was deleted before: it comes back with the restart.
func checkRestart(t *testing.T, s, a *testNode) {
	_, before := s.get("/api/v1/nodes/k3d-x-server-0")
	if code := a.kill(syscall.SIGTERM); code != 1 {
		t.Errorf("agent's exit code %d, want 1", code)
	}
	if code := s.kill(syscall.SIGTERM); code != 1 {
		t.Errorf("server's exit code %d, want 1", code)
	}
	s.start()
	a.start()
	s.waitStatus("k3d-x-agent-0", "Ready")
	_, after := s.get("/api/v1/nodes/k3d-x-server-0")
	if stringField(before, "metadata", "uid") != stringField(after, "metadata", "uid") {
		t.Error("the Node is another one after the restart")
	}
	a.kill(syscall.SIGKILL)
	s.waitStatus("k3d-x-agent-0", "NotReady")
	_, o := s.get("/api/v1/nodes/k3d-x-agent-0")
	if c := condition(o, "Ready"); c["reason"] != "NodeStatusUnknown" {
		t.Errorf("reason %v", c["reason"])
	}
}

func TestWrongToken(t *testing.T) {
	t.Parallel()
	s := newTestNode(t, "s0", "127.1.1.1", "server", "--cluster-init").start()
	s.waitSupervisor()
	joiner := newTestNode(t, "s1", "127.1.1.2", "server", "--server", s.url()).start("K3S_TOKEN=wrong")
	if code := joiner.exitCode(); code != 1 || !strings.Contains(joiner.log(), "level=fatal") || !strings.Contains(joiner.log(), "401 Unauthorized") {
		t.Errorf("exit code %d", code)
	}
	hashed := newTestNode(t, "s2", "127.1.1.3", "server", "--server", s.url()).start("K3S_TOKEN=K10" + strings.Repeat("0", 64) + "::server:secret")
	hashed.exitCode()
	hashed.waitLog("token CA hash does not match the Cluster CA certificate hash")
	agent := newTestNode(t, "a0", "127.1.1.4", "agent", "--server", s.url()).start("K3S_TOKEN=wrong")
	agent.waitLog("Failed to configure agent: https://127.0.0.1:6444/v1-k3s/serving-kubelet.crt: 401 Unauthorized")
}

func TestFullTokenJoins(t *testing.T) {
	t.Parallel()
	s := newTestNode(t, "s0", "127.1.2.1", "server").start()
	s.waitSupervisor()
	full, err := os.ReadFile(s.path("data", "server", "node-token"))
	if err != nil {
		t.Fatal(err)
	}
	newTestNode(t, "a0", "127.1.2.2", "agent", "--server", s.url()).start("K3S_TOKEN=" + strings.TrimSpace(string(full)))
	s.waitStatus("a0", "Ready")
}

func TestSingleServerCannotBeJoined(t *testing.T) {
	t.Parallel()
	s := newTestNode(t, "s0", "127.1.3.1", "server").start()
	early := newTestNode(t, "s1", "127.1.3.2", "server", "--server", "https://127.1.3.9:6443").start()
	early.exitCode()
	early.waitLog("failed to get CA certs: Get \\\"https://127.1.3.9:6443/cacerts\\\": dial tcp 127.1.3.9:6443: connect: connection refused")
	s.waitSupervisor()
	joiner := newTestNode(t, "s2", "127.1.3.3", "server", "--server", s.url()).start()
	if code := joiner.exitCode(); code != 1 || !strings.Contains(joiner.log(), "etcd disabled") {
		t.Errorf("exit code %d", code)
	}
}

func TestOrderedFailures(t *testing.T) {
	t.Parallel()
	s := newTestNode(t, "k3d-f-server-0", "127.1.4.1", "server")
	s.env = append(s.env, "STANDIN_CRASH=datastore@server-0:1", "STANDIN_NEVER_READY=*-agent-1")
	s.start()
	if code := s.exitCode(); code != 1 || !strings.Contains(s.log(), "level=fatal msg=\"stand-in: crash ordered at stage datastore\"") {
		t.Fatalf("exit code %d", code)
	}
	s.start()
	a := newTestNode(t, "k3d-f-agent-1", "127.1.4.2", "agent", "--server", s.url())
	a.env = append(a.env, "STANDIN_NEVER_READY=*-agent-1")
	a.start()
	b := newTestNode(t, "k3d-f-agent-2", "127.1.4.3", "agent", "--server", s.url())
	b.env = append(b.env, "STANDIN_HANG=registered@agent-2")
	b.start()
	oom := newTestNode(t, "k3d-f-agent-3", "127.1.4.4", "agent", "--server", s.url())
	oom.start("STANDIN_OOM=api")
	s.waitStatus("k3d-f-server-0", "Ready")
	s.waitStatus("k3d-f-agent-1", "NotReady")
	time.Sleep(time.Second)
	if got := s.statusOf("k3d-f-agent-1"); got != "NotReady" {
		t.Errorf("agent-1 is %s", got)
	}
	if got := s.statusOf("k3d-f-agent-2"); got != "NotReady" {
		t.Errorf("agent-2 is %s", got)
	}
	if memoryLimited() != nil {
		if code := oom.exitCode(); code != -1 {
			t.Errorf("exit code %d, want the end by a signal", code)
		}
	}
}

func TestReadyProfileWithoutDatastore(t *testing.T) {
	t.Parallel()
	env := []string{"STANDIN_READY=400ms", "STANDIN_DATASTORE=none"}
	begin := time.Now()
	s := newTestNode(t, "s0", "127.1.5.1", "server", "--cluster-init").start(env...)
	s.waitStatus("s0", "Ready")
	if took := time.Since(begin); took < 400*time.Millisecond || took > 2*time.Second {
		t.Errorf("ready after %s", took)
	}
	joiner := newTestNode(t, "s1", "127.1.5.2", "server", "--server", s.url()).start(env...)
	newTestNode(t, "a0", "127.1.5.3", "agent", "--server", s.url()).start(env...)
	joiner.waitStatus("s1", "Ready")
	joiner.waitStatus("a0", "Ready")
	joiner.waitLog("k3s is up and running")
}
