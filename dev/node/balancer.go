package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// balancer is an agent's choice of a server. Real k3s listens on
// 127.0.0.1:6444; only the node's own client ever used that port, so this one
// is called directly.
type balancer struct {
	mu      sync.Mutex
	file    string
	first   string // from K3S_URL
	servers []string
}

// balancerState is k3s's file of the same purpose.
type balancerState struct {
	ServerURL       string
	ServerAddresses []string
}

func newBalancer(cfg *config, host string) *balancer {
	b := &balancer{first: host, servers: []string{host}, file: cfg.agentDir("etc", "k3s-agent-load-balancer.json")}
	var kept balancerState
	if raw, err := os.ReadFile(b.file); err == nil && json.Unmarshal(raw, &kept) == nil {
		b.servers = append(b.servers, kept.ServerAddresses...)
	}
	return b
}

func (b *balancer) addresses() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.servers...)
}

// update takes the list of servers the cluster has now.
func (b *balancer) update(servers []string) {
	if len(servers) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	wanted := append([]string{b.first}, servers...)
	if equal(wanted, b.servers) {
		return
	}
	b.servers = wanted
	raw, _ := json.Marshal(balancerState{"https://" + b.first, servers})
	_ = os.MkdirAll(filepath.Dir(b.file), 0o700)
	if err := os.WriteFile(b.file, raw, 0o600); err != nil {
		logf(levelError, "%v", err)
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// dial connects to the first server that accepts. Where none does, the error
// is what k3s's balancer gives its client.
func (b *balancer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	var last error
	for _, server := range b.addresses() {
		conn, err := dialer.DialContext(ctx, network, server)
		if err == nil {
			return conn, nil
		}
		last = err
	}
	var refused *net.OpError
	if b.file != "" && errors.As(last, &refused) {
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	}
	return nil, last
}
