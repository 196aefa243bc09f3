package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// datastoreConfig names a data store outside the cluster, in k3s's words.
type datastoreConfig struct {
	endpoint, cafile, certfile, keyfile string
}

// check refuses what k3s would speak to and the stand-in does not. The
// endpoint is not quoted: it may hold a password.
func (d datastoreConfig) check(c *config) error {
	if d.endpoint == "" || c.role != "server" {
		return nil
	}
	for _, endpoint := range strings.Split(d.endpoint, ",") {
		u, err := url.Parse(endpoint)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return errors.New("stand-in: --datastore-endpoint is only played for etcd: http://HOST:PORT or https://HOST:PORT")
		}
	}
	if c.token == "" {
		return errors.New("stand-in: a data store outside the cluster needs a token")
	}
	return nil
}

// openExternal waits for the data store and shares the cluster's authorities
// by it: the first of the servers makes them.
func (s *server) openExternal(start time.Time) error {
	cfg := s.cfg
	client, err := s.reachDatastore()
	if err != nil {
		return fmt.Errorf("starting kubernetes: preparing server: %w", err)
	}
	data, err := sharedBootstrap(client, cfg.token)
	if err != nil {
		return fmt.Errorf("starting kubernetes: preparing server: %w", err)
	}
	if err := saveBootstrap(cfg, data); err != nil {
		return err
	}
	if s.pki, err = loadPKI(cfg); err != nil {
		return err
	}
	sleepUntil(start, cfg.times.datastore)
	cfg.faults.reach(stageDatastore)
	infof("etcd data store connection OK")
	s.useStore(openEtcdStore(client))
	return nil
}

// reachDatastore returns a client of the first endpoint that answers, as soon
// as one does.
func (s *server) reachDatastore() (*etcdClient, error) {
	var clients []*etcdClient
	for _, endpoint := range strings.Split(s.cfg.datastore.endpoint, ",") {
		client, err := s.cfg.datastore.client(endpoint)
		if err != nil {
			return nil, err
		}
		clients = append(clients, client)
	}
	for {
		for _, client := range clients {
			_, _, err := client.readAll(context.Background(), true)
			if err == nil {
				return client, nil
			}
			infof("Failed to test data store connection: %v", err)
		}
		time.Sleep(s.cfg.times.learnerPoll)
	}
}

// client speaks to one endpoint, with the files for TLS if there are any.
func (d datastoreConfig) client(endpoint string) (*etcdClient, error) {
	if strings.HasPrefix(endpoint, "http://") {
		return plainClient(strings.TrimPrefix(endpoint, "http://"))
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if d.cafile != "" {
		raw, err := os.ReadFile(d.cafile)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("%s: no certificate in PEM data", d.cafile)
		}
	}
	if d.certfile != "" {
		cert, err := tls.LoadX509KeyPair(d.certfile, d.keyfile)
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSHandshakeTimeout: storeDeadline, TLSClientConfig: conf}
	return &etcdClient{grpcConn{base: strings.TrimSuffix(endpoint, "/"), http: &http.Client{Transport: transport}}}, nil
}

// plainClient speaks HTTP/2 without TLS. This Go's net/http does not; so it
// speaks TLS to an end inside this process, which takes that off again.
func plainClient(address string) (*etcdClient, error) {
	const name = "datastore"
	pair, err := issue(nil, certRequest{commonName: name, hosts: []string{name}, server: true, authority: true})
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(pair.certPEM, pair.keyPEM)
	if err != nil {
		return nil, err
	}
	inner := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		plain, err := (&net.Dialer{Timeout: storeDeadline}).DialContext(ctx, "tcp", strings.TrimSuffix(address, "/"))
		if err != nil {
			return nil, err
		}
		outer, inside := net.Pipe()
		unwrapped := tls.Server(inside, inner)
		go carry(plain, unwrapped)
		go carry(unwrapped, plain)
		return outer, nil
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, DialContext: dial,
		TLSClientConfig: &tls.Config{RootCAs: pair.pool(), ServerName: name, MinVersion: tls.VersionTLS13}}
	return &etcdClient{grpcConn{base: "https://" + name, http: &http.Client{Transport: transport}}}, nil
}

func carry(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}

// sharedBootstrap returns the authorities of the cluster with this token, and
// makes them if nobody has. k3s encrypts them with the token; here it is only
// a part of the key.
func sharedBootstrap(client *etcdClient, token string) ([]byte, error) {
	given, err := parseToken(token)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	const owner = "/bootstrap/owner"
	key := "/bootstrap/" + hashOf([]byte(given.password))[:12]
	made, err := newBootstrap()
	if err != nil {
		return nil, err
	}
	if _, err := client.write(ctx, owner, []byte(key), 0); err != nil && !errors.Is(err, errConflict) {
		return nil, err
	}
	name, err := client.get(ctx, owner)
	if err != nil {
		return nil, err
	}
	if string(name) != key {
		return nil, errors.New("bootstrap data already found and encrypted with different token")
	}
	if _, err := client.write(ctx, key, made, 0); err == nil || !errors.Is(err, errConflict) {
		return made, err
	}
	return client.get(ctx, key)
}
