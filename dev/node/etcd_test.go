package main

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"
)

func (n *testNode) etcd() *etcdClient {
	n.t.Helper()
	c, err := toolClient("https://"+n.ip+":2379", n.path("data", "server", "tls", "etcd"))
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

// promoteFromOutside does what a tool with server-0's certificate does.
func promoteFromOutside(t *testing.T, s *testNode) {
	t.Helper()
	client := s.etcd()
	eventually(t, "a promotion from outside", 20*time.Second, func() bool {
		members, err := client.memberList(context.Background())
		if err != nil {
			return false
		}
		for _, m := range members {
			if m.IsLearner {
				return client.promote(context.Background(), m.ID) == nil
			}
		}
		return false
	})
}

func learners(t *testing.T, s *testNode) int {
	t.Helper()
	members, err := s.etcd().memberList(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, m := range members {
		if m.IsLearner {
			count++
		}
	}
	return count
}

// Three servers: refusals while another one joins, promotion from outside and
// by the leader, the same answers everywhere, no life without a quorum.
func TestThreeServers(t *testing.T) {
	t.Parallel()
	s0 := newTestNode(t, "k3d-e-server-0", "127.2.0.1", "server", "--cluster-init").start("STANDIN_TICK=600")
	s0.waitSupervisor()
	s1 := newTestNode(t, "k3d-e-server-1", "127.2.0.2", "server", "--server", s0.url()).start("STANDIN_TICK=600")
	s2 := newTestNode(t, "k3d-e-server-2", "127.2.0.3", "server", "--server", s0.url())
	s2.env = append(s2.env, "STANDIN_TICK=600")
	s1.waitLog("this server has not yet been promoted from learner to voting member")

	s2.start()
	if code := s2.exitCode(); code != 1 || !strings.Contains(s2.log(), "etcdserver: too many learner members in cluster") {
		t.Fatalf("a second learner: exit code %d", code)
	}
	promoteFromOutside(t, s0)
	s1.waitLog("etcd data store connection OK")
	s2.start()
	if code := s2.exitCode(); code != 1 || !strings.Contains(s2.log(), "etcdserver: unhealthy cluster") {
		t.Fatalf("right after a promotion: exit code %d", code)
	}
	eventually(t, "server-2 is let in", 20*time.Second, func() bool {
		s2.start()
		time.Sleep(500 * time.Millisecond)
		return strings.Contains(s2.log(), "Starting etcd for cluster")
	})
	promoteFromOutside(t, s0)
	for _, seer := range []*testNode{s0, s1, s2} {
		for _, seen := range []*testNode{s0, s1, s2} {
			seer.waitStatus(seen.name, "Ready")
		}
	}
	checkQuorum(t, s0, s1, s2)
}

func checkQuorum(t *testing.T, s0, s1, s2 *testNode) {
	for _, n := range []*testNode{s1, s2} {
		n.kill(syscall.SIGKILL)
	}
	eventually(t, "the API fails without a quorum", 20*time.Second, func() bool {
		code, _ := s0.get("/api/v1/nodes")
		return code == 503
	})
	if code, _ := s0.get("/readyz"); code != 500 {
		t.Errorf("/readyz without a quorum: %d", code)
	}
	s0.kill(syscall.SIGKILL)
	lines := strings.Count(s0.log(), "etcd data store connection OK")
	said := strings.Count(s0.log(), "Running kube-apiserver")
	s0.start()
	s0.waitLog("Managed etcd cluster bootstrap already complete and initialized")
	time.Sleep(2 * time.Second)
	if strings.Count(s0.log(), "etcd data store connection OK") != lines {
		t.Error("a server alone must wait for a quorum")
	}
	if strings.Count(s0.log(), "Running kube-apiserver") != said+1 {
		t.Error("a server alone says that its API server runs, as k3s does")
	}
	s1.start()
	s0.waitStatus(s1.name, "Ready")
	s0.waitStatus(s2.name, "NotReady")
	if strings.Count(s0.log(), "Running kube-apiserver") != said+1 {
		t.Error("that is said once a start")
	}
	if code, _ := s0.request("DELETE", "/api/v1/nodes/"+s2.name, "", ""); code != 200 {
		t.Fatalf("delete: %d", code)
	}
	members, err := s0.etcd().memberList(context.Background())
	if err != nil || len(members) != 2 {
		t.Errorf("a deleted server stays in etcd: %v %v", members, err)
	}
}

// The leader promotes by itself, once a tick, and an agent outlives its server.
func TestLeaderPromotes(t *testing.T) {
	t.Parallel()
	s0 := newTestNode(t, "s0", "127.2.1.1", "server", "--cluster-init").start()
	s0.waitSupervisor()
	s1 := newTestNode(t, "s1", "127.2.1.2", "server", "--server", s0.url()).start()
	newTestNode(t, "a0", "127.2.1.4", "agent", "--server", s0.url()).start()
	s1.waitStatus("s1", "Ready")
	s1.waitStatus("a0", "Ready")
	if n := learners(t, s0); n != 0 {
		t.Fatalf("%d learners", n)
	}
	time.Sleep(5 * time.Second) // etcd wants the new member connected that long
	s2 := newTestNode(t, "s2", "127.2.1.3", "server", "--server", s0.url()).start()
	s2.waitStatus("s2", "Ready")
	time.Sleep(2 * minHeartbeat) // the agent hears of all servers
	s0.kill(syscall.SIGTERM)
	s2.waitStatus("s0", "NotReady")
	time.Sleep(minGrace)
	if got := s2.statusOf("a0"); got != "Ready" {
		t.Errorf("the agent is %s after its server's end", got)
	}
}
