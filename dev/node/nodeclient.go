package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// nodeClient is a node's connection to the supervisor.
type nodeClient struct {
	base     string
	http     *http.Client
	tls      *tls.Config
	dial     dialFunc
	user     string
	password string
	header   http.Header
	ca       []byte
}

// statusError is an answer other than success; its text is k3s's.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return e.text }

const clientTimeout = 10 * time.Second // k3s's

func newNodeClient(base string, dial dialFunc, ca []byte, user, password string) (*nodeClient, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("CA cert validation failed: no certificate found")
	}
	c := &nodeClient{base: base, dial: dial, user: user, password: password, header: http.Header{}, ca: ca,
		// The address dialled may be any server's or a load balancer's; this
		// name is in all their certificates.
		tls: &tls.Config{RootCAs: roots, ServerName: "kubernetes", MinVersion: tls.VersionTLS12}}
	c.http = httpClient(dial, c.tls)
	return c, nil
}

func httpClient(dial dialFunc, config *tls.Config) *http.Client {
	return &http.Client{Timeout: clientTimeout, Transport: &http.Transport{DialContext: dial, TLSClientConfig: config,
		MaxIdleConns: 1, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: clientTimeout}}
}

func (c *nodeClient) identify(name, password, ip string) {
	c.header.Set(nodeNameHeader, name)
	c.header.Set(nodePasswordHeader, password)
	c.header.Set(nodeIPHeader, ip)
}

// useCert replaces the token by a client certificate.
func (c *nodeClient) useCert(certPEM, keyPEM []byte) error {
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return err
	}
	c.http.CloseIdleConnections()
	config := c.tls.Clone()
	config.Certificates = []tls.Certificate{cert}
	c.http, c.user, c.header = httpClient(c.dial, config), "", http.Header{}
	return nil
}

func (c *nodeClient) get(path string) ([]byte, error) { return c.do(http.MethodGet, path, nil) }

func (c *nodeClient) post(path string, body []byte) ([]byte, error) {
	return c.do(http.MethodPost, path, body)
}

func (c *nodeClient) do(method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequest(method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = c.header.Clone()
	if c.user != "" {
		req.SetBasicAuth(c.user, c.password)
	}
	return send(c.http, req)
}

func send(client *http.Client, req *http.Request) ([]byte, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 16*maxBody))
	if err == nil && resp.StatusCode/100 != 2 {
		err = &statusError{resp.StatusCode, fmt.Sprintf("%s: %s", req.URL, resp.Status)}
	}
	return data, err
}

// fetchCA gets the CA from a server that can't be verified yet; the token's
// hash, if it has one, is checked by the caller.
func fetchCA(dial dialFunc, base string) ([]byte, error) {
	client := httpClient(dial, &tls.Config{InsecureSkipVerify: true})
	defer client.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodGet, base+"/cacerts", nil)
	if err != nil {
		return nil, err
	}
	ca, err := send(client, req)
	if err != nil {
		return nil, fmt.Errorf("failed to get CA certs: %w", err)
	}
	return ca, nil
}
