package main

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// authorityFiles are the cluster's authorities: what all its servers share.
// Paths below server/tls, as in k3s.
var authorityFiles = []string{"server-ca", "client-ca", "etcd/server-ca", "etcd/peer-ca"}

// clusterPKI is a server's share of the cluster's secrets.
type clusterPKI struct {
	serverCA, clientCA *keyPair
	etcdCA, etcdPeerCA *keyPair
	admin              *keyPair
	token              string
	clientRoots        *x509.CertPool
	authorities        map[string]string // what a joining server gets
}

// bootstrap is what a joining server gets from a running one.
type bootstrap struct {
	Files map[string]string `json:"files"`
}

// loadPKI reads the cluster's authorities, or makes them at the first start.
func loadPKI(cfg *config) (*clusterPKI, error) {
	p := &clusterPKI{authorities: map[string]string{}}
	pairs := map[string]**keyPair{
		"server-ca": &p.serverCA, "client-ca": &p.clientCA, "etcd/server-ca": &p.etcdCA, "etcd/peer-ca": &p.etcdPeerCA,
	}
	for _, name := range authorityFiles {
		pair, err := loadOrIssue(cfg.serverDir("tls", name), nil, certRequest{commonName: authorityName(name), authority: true})
		if err != nil {
			return nil, err
		}
		*pairs[name] = pair
		p.authorities[name+".crt"] = string(pair.certPEM)
		p.authorities[name+".key"] = string(pair.keyPEM)
	}
	p.clientRoots = p.clientCA.pool()
	var err error
	p.admin, err = loadOrIssue(cfg.serverDir("tls", "client-admin"), p.clientCA,
		certRequest{commonName: "system:admin", organization: []string{"system:masters"}, client: true})
	if err != nil {
		return nil, err
	}
	return p, p.settleToken(cfg)
}

// newBootstrap makes the authorities of a new cluster without storing them.
func newBootstrap() ([]byte, error) {
	b := bootstrap{Files: map[string]string{}}
	for _, name := range authorityFiles {
		pair, err := issue(nil, certRequest{commonName: authorityName(name), authority: true})
		if err != nil {
			return nil, err
		}
		b.Files[name+".crt"], b.Files[name+".key"] = string(pair.certPEM), string(pair.keyPEM)
	}
	return json.Marshal(b)
}

func authorityName(file string) string {
	return fmt.Sprintf("k3s-%s@%d", strings.ReplaceAll(file, "/", "-"), time.Now().Unix())
}

// saveBootstrap stores fetched authorities where loadPKI finds them.
func saveBootstrap(cfg *config, data []byte) error {
	var b bootstrap
	if err := json.Unmarshal(data, &b); err != nil {
		return fmt.Errorf("bootstrap data: %w", err)
	}
	for _, name := range authorityFiles {
		pair, err := parsePair([]byte(b.Files[name+".crt"]), []byte(b.Files[name+".key"]))
		if err != nil {
			return fmt.Errorf("bootstrap data: %s: %w", name, err)
		}
		if err := pair.save(cfg.serverDir("tls", name)); err != nil {
			return err
		}
	}
	return nil
}

// settleToken keeps the cluster's token. A restart with another token is
// refused, because k3s could not decrypt its bootstrap data with it.
func (p *clusterPKI) settleToken(cfg *config) error {
	given, err := parseToken(cfg.token)
	if err != nil {
		return err
	}
	if given.caHash != "" && given.caHash != hashOf(p.serverCA.certPEM) {
		return fmt.Errorf("starting kubernetes: preparing server: %w", caMismatch(given.caHash, p.serverCA.certPEM))
	}
	file := cfg.serverDir("token")
	stored, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return p.saveToken(file, given.password)
	}
	if err != nil {
		return err
	}
	kept, err := parseToken(strings.TrimSpace(string(stored)))
	if err != nil {
		return err
	}
	if given.password != "" && given.password != kept.password {
		return errors.New("starting kubernetes: preparing server: bootstrap data already found and encrypted with different token")
	}
	p.token = kept.password
	return nil
}

func (p *clusterPKI) saveToken(file, password string) error {
	if password == "" {
		raw := make([]byte, 16)
		if _, err := rand.Read(raw); err != nil {
			return err
		}
		password = hex.EncodeToString(raw)
	}
	p.token = password
	full := fmt.Sprintf("K10%s::server:%s\n", hashOf(p.serverCA.certPEM), password)
	if err := os.WriteFile(file, []byte(full), 0o600); err != nil {
		return err
	}
	if err := os.Symlink(file, filepath.Join(filepath.Dir(file), "node-token")); !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// servingCert is made anew at every start, since the node's names may have
// changed; its authority has not.
func (p *clusterPKI) servingCert(cfg *config) (tls.Certificate, error) {
	hosts := append([]string{
		"127.0.0.1", "::1", "localhost", "10.43.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc.cluster.local", cfg.nodeName, cfg.nodeIP,
	}, cfg.tlsSANs...)
	pair, err := issue(p.serverCA, certRequest{commonName: "k3s", organization: []string{"k3s"}, hosts: hosts, server: true})
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(append(pair.certPEM, p.serverCA.certPEM...), pair.keyPEM)
}
