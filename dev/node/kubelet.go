package main

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// kubeletTimes are the moments of a kubelet's start, from its base.
type kubeletTimes struct {
	containerd, connect, kubelet, register time.Duration
}

// kubelet is a node's part that registers and reports.
type kubelet struct {
	cfg      *config
	client   *nodeClient
	balancer *balancer // nil on servers, which talk to themselves
	base     time.Time
	times    kubeletTimes
	etcd     bool
}

// startContainerd opens containerd's socket, so that image imports fail before
// it and work after it, as in k3s.
func (k *kubelet) startContainerd() {
	sleepUntil(k.base, k.times.containerd)
	socket := containerdSocket(k.cfg.runDir)
	_ = os.MkdirAll(filepath.Dir(socket), 0o711)
	_ = os.Remove(socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	infof("Containerd is now running")
}

func containerdSocket(runDir string) string {
	return filepath.Join(runDir, "containerd", "containerd.sock")
}

// connectTunnel only says what k3s says: nothing here needs the tunnel.
func (k *kubelet) connectTunnel(host string) {
	sleepUntil(k.base, k.times.connect)
	writeLine("time=\"" + now() + "\" level=info msg=\"Connecting to proxy\" url=\"wss://" + host + "/v1-k3s/connect\"\n")
}

// run registers the node and reports until the process ends.
func (k *kubelet) run() error {
	name := k.cfg.nodeName
	infof("Waiting for node %s: nodes \"%s\" not found", name, name)
	sleepUntil(k.base, k.times.kubelet)
	klogf("server.go:440", "%q kubeletVersion=%q", "Started kubelet", k.cfg.version)
	sleepUntil(k.base, k.times.register)
	immediately := k.cfg.times.ready == 0 && !k.cfg.faults.neverReady
	k.register(immediately)
	registered := time.Now()
	klogf("kubelet_node_status.go:74", "%q node=%q", "Successfully registered node", name)
	k.cfg.faults.reach(stageRegistered)
	go func() {
		sleepUntil(registered, k.cfg.times.cidr)
		infof("Node CIDR assigned for: %s", name)
		infof("labels have been set successfully on node: %s", name)
	}()
	if immediately {
		k.cfg.faults.reach(stageReady)
	}
	return k.report(registered, immediately)
}

func (k *kubelet) register(ready bool) {
	body, err := json.Marshal(k.describe(ready))
	if err != nil {
		fatal(err)
	}
	for {
		answer, err := k.client.post("/v1-k3s/standin/register", body)
		if err == nil {
			k.learn(answer)
			return
		}
		klogf("kubelet_node_status.go:93", "%q err=%q node=%q", "Unable to register node with API server", err.Error(), k.cfg.nodeName)
		time.Sleep(k.cfg.times.caRetry)
	}
}

// report sends heartbeats; the one that makes the node Ready comes on time,
// not with the next period.
func (k *kubelet) report(registered time.Time, ready bool) error {
	turn := registered.Add(k.cfg.times.ready)
	waiting := !ready && !k.cfg.faults.neverReady
	for {
		pause := k.cfg.times.heartbeat
		if until := time.Until(turn); waiting && until < pause {
			pause = until
		}
		time.Sleep(pause)
		becomes := waiting && !time.Now().Before(turn)
		body, _ := json.Marshal(heartbeat{Ready: ready || becomes})
		answer, err := k.client.post("/v1-k3s/standin/heartbeat", body)
		switch {
		case err == nil:
			k.learn(answer)
		case becomes:
			turn = time.Now().Add(k.cfg.times.caRetry)
			fallthrough
		default:
			k.complain(err)
			continue
		}
		if becomes {
			ready, waiting = true, false
			k.cfg.faults.reach(stageReady)
		}
	}
}

// complain says why a report failed. A deleted Node is not made again before
// the next start, as with the real kubelet.
func (k *kubelet) complain(err error) {
	var refused *statusError
	if errors.As(err, &refused) && refused.code == 404 {
		klogf("kubelet.go:2291", "%q err=\"node \\\"%s\\\" not found\"", "Error getting node", k.cfg.nodeName)
		return
	}
	klogf("kubelet_node_status.go:470", "%q err=%q", "Error updating node status, will retry", err.Error())
}

// learn keeps the list of servers, so that an agent survives the one it joined.
func (k *kubelet) learn(answer []byte) {
	var a heartbeatAnswer
	if k.balancer != nil && json.Unmarshal(answer, &a) == nil {
		k.balancer.update(a.Servers)
	}
}

func (k *kubelet) describe(ready bool) registration {
	return registration{
		Name: k.cfg.nodeName, IP: k.cfg.nodeIP, Role: k.cfg.role, Etcd: k.etcd, Labels: k.cfg.nodeLabels, Taints: k.cfg.nodeTaints,
		Version: k.cfg.version, Kernel: kernelVersion(), MemoryKB: memoryKB(), CPUs: runtime.NumCPU(), Ready: ready,
		DiskPressure: k.cfg.faults.diskFull,
	}
}

func kernelVersion() string {
	var u syscall.Utsname
	if syscall.Uname(&u) != nil {
		return "unknown"
	}
	var b strings.Builder
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c))
	}
	return b.String()
}

// memoryKB reads /proc/meminfo as the kubelet does: a file mounted over it
// must show in the Node.
func memoryKB() int64 {
	raw, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(raw), "\n") {
		if words := strings.Fields(line); len(words) >= 2 && words[0] == "MemTotal:" {
			n, _ := strconv.ParseInt(words[1], 10, 64)
			return n
		}
	}
	return 0
}
