package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// etcdCerts are a server's certificates for etcd, in k3s's files.
type etcdCerts struct {
	authority *keyPair
	client    *keyPair
}

func makeEtcdCerts(cfg *config, p *clusterPKI) (*etcdCerts, error) {
	hosts := []string{"localhost", "127.0.0.1", "::1", cfg.nodeName, cfg.nodeIP}
	// No host names in the client's certificate: etcd would compare them with
	// the caller's address, and callers outside the container have another.
	client, err := loadOrIssue(cfg.serverDir("tls", "etcd", "client"), p.etcdCA, certRequest{commonName: "etcd-client", client: true})
	if err != nil {
		return nil, err
	}
	for name, authority := range map[string]*keyPair{"server-client": p.etcdCA, "peer-server-client": p.etcdPeerCA} {
		req := certRequest{commonName: "etcd-" + name, hosts: hosts, client: true, server: true}
		pair, err := issue(authority, req)
		if err != nil {
			return nil, err
		}
		if err := pair.save(cfg.serverDir("tls", "etcd", name)); err != nil {
			return nil, err
		}
	}
	return &etcdCerts{authority: p.etcdCA, client: client}, nil
}

func etcdDataDir(cfg *config) string { return cfg.serverDir("db", "etcd") }

// etcdInitialized tells by the write-ahead log, as k3s does.
func etcdInitialized(cfg *config) bool {
	_, err := os.Stat(filepath.Join(etcdDataDir(cfg), "member", "wal"))
	return err == nil
}

func peerURL(cfg *config) string { return "https://" + net.JoinHostPort(cfg.nodeIP, "2380") }

// clientURL is where this server's own client reaches etcd. Several nodes on
// one machine's loopback addresses can't share 127.0.0.1.
func clientURL(cfg *config) string {
	if isLoopback(cfg.nodeIP) {
		return "https://" + net.JoinHostPort(cfg.nodeIP, "2379")
	}
	return "https://127.0.0.1:2379"
}

func isLoopback(ip string) bool { return net.ParseIP(ip).IsLoopback() }

// etcdArguments are k3s's settings but for the heartbeat; see electionFactor.
func etcdArguments(cfg *config, name, initialCluster, state string) []string {
	tls := func(file string) string { return cfg.serverDir("tls", "etcd", file) }
	advertised := "https://" + net.JoinHostPort(cfg.nodeIP, "2379")
	listen := advertised
	if !isLoopback(cfg.nodeIP) {
		listen += ",https://127.0.0.1:2379"
	}
	return []string{
		"--name=" + name, "--data-dir=" + etcdDataDir(cfg),
		"--listen-client-urls=" + listen, "--advertise-client-urls=" + advertised,
		"--listen-peer-urls=" + peerURL(cfg), "--initial-advertise-peer-urls=" + peerURL(cfg),
		"--initial-cluster=" + initialCluster, "--initial-cluster-state=" + state,
		"--cert-file=" + tls("server-client.crt"), "--key-file=" + tls("server-client.key"),
		"--trusted-ca-file=" + tls("server-ca.crt"), "--client-cert-auth",
		"--peer-cert-file=" + tls("peer-server-client.crt"), "--peer-key-file=" + tls("peer-server-client.key"),
		"--peer-trusted-ca-file=" + tls("peer-ca.crt"), "--peer-client-cert-auth",
		fmt.Sprintf("--heartbeat-interval=%d", cfg.times.etcdBeat.Milliseconds()),
		fmt.Sprintf("--election-timeout=%d", electionFactor*cfg.times.etcdBeat.Milliseconds()),
		"--enable-grpc-gateway=false", "--logger=zap", "--log-outputs=stderr", "--log-level=warn",
		"--auto-compaction-mode=revision", "--auto-compaction-retention=1000",
	}
}

// writeEtcdConfig leaves the settings where k3s leaves them, for those who look
// for this server's address from outside.
func writeEtcdConfig(cfg *config, arguments []string) error {
	var text strings.Builder
	for _, argument := range arguments {
		key, value, found := strings.Cut(strings.TrimPrefix(argument, "--"), "=")
		if found {
			fmt.Fprintf(&text, "%s: %s\n", key, value)
		}
	}
	if err := os.MkdirAll(etcdDataDir(cfg), 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(etcdDataDir(cfg), "config"), []byte(text.String()), 0o600)
}

var (
	childMu sync.Mutex
	child   *os.Process
	ending  bool
)

// startEtcd runs etcd as a child that dies with this process. Its end is this
// node's end, as etcd is a part of k3s.
func startEtcd(cfg *config, arguments []string) error {
	if err := writeEtcdConfig(cfg, arguments); err != nil {
		return err
	}
	binary, err := exec.LookPath("etcd")
	if err != nil {
		return fmt.Errorf("starting kubernetes: preparing server: start managed database: %w", err)
	}
	command := exec.Command(binary, arguments...)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	command.Env = append(os.Environ(), "GOMAXPROCS=2")
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The death signal is tied to the thread that forked: it must not end
		// before the process.
		runtime.LockOSThread()
		childMu.Lock()
		err := command.Start()
		child = command.Process
		childMu.Unlock()
		started <- err
		if err == nil {
			etcdEnded(command.Wait())
		}
	}()
	return <-started
}

func etcdEnded(err error) {
	childMu.Lock()
	expected := ending
	childMu.Unlock()
	if !expected {
		fatal(fmt.Errorf("etcd ended: %v", err))
	}
}

// etcdFarewell is the time etcd gets to hand its leadership on. Real k3s
// takes none.
const etcdFarewell = 300 * time.Millisecond

// stopChildren ends etcd.
func stopChildren() {
	childMu.Lock()
	ending = true
	process := child
	childMu.Unlock()
	if process == nil {
		return
	}
	_ = process.Signal(syscall.SIGTERM)
	time.Sleep(etcdFarewell)
	_ = process.Kill()
}

// memberName is k3s's: the node's name and something that survives restarts
// but not a new data directory.
func memberName(cfg *config) (string, error) {
	file := filepath.Join(etcdDataDir(cfg), "name")
	if raw, err := os.ReadFile(file); err == nil {
		return strings.TrimSpace(string(raw)), nil
	}
	name := cfg.nodeName + "-" + newUID()[:8]
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", err
	}
	return name, os.WriteFile(file, []byte(name), 0o600)
}
