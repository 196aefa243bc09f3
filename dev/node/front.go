package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// listen opens the one port of a server: supervisor and API share it, as in k3s.
func (s *server) listen(failed chan<- error) error {
	cert, err := s.pki.servingCert(s.cfg)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(s.cfg.bindAddress, strconv.Itoa(s.cfg.port)))
	if err != nil {
		return fmt.Errorf("starting kubernetes: preparing server: %w", err)
	}
	front := &http.Server{
		Handler: s,
		// Certificates are asked for but judged per request: a stranger gets
		// 401, not a broken connection.
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       3 * time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // load balancers probe without a handshake
	}
	go func() { failed <- front.ServeTLS(listener, "", "") }()
	return nil
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case !s.at(phaseSupervisor):
		http.Error(w, "starting", http.StatusServiceUnavailable)
	case path == "/ping":
		fmt.Fprint(w, "pong")
	case path == "/cacerts":
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(s.pki.serverCA.certPEM)
	case path == "/v1-k3s/server-bootstrap", path == "/db/info":
		s.serveJoin(w, r)
	case !s.at(phaseAPI):
		http.Error(w, "starting", http.StatusServiceUnavailable)
	case strings.HasPrefix(path, "/v1-k3s/"):
		s.serveSupervisor(w, r)
	default:
		s.serveAPI(w, r)
	}
}

// serveAPI lets in who has a certificate of the cluster's client authority.
func (s *server) serveAPI(w http.ResponseWriter, r *http.Request) {
	cert := s.clientCert(r)
	switch {
	case cert == nil:
		writeStatus(w, http.StatusUnauthorized, "Unauthorized", "Unauthorized")
	case r.Method != http.MethodGet && !isAdmin(cert):
		writeStatus(w, http.StatusForbidden, "Forbidden", cert.Subject.CommonName+" may not change this")
	case s.proxy != nil:
		s.proxy.ServeHTTP(w, r)
	default:
		s.api.ServeHTTP(w, r)
	}
}

// clientCert returns the client's certificate if the cluster issued it. The
// verdict on each certificate is kept: heartbeats come on the same few, and
// verifying was a quarter of their cost.
func (s *server) clientCert(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil
	}
	cert := r.TLS.PeerCertificates[0]
	id := sha256.Sum256(cert.Raw)
	if _, known := s.verified.Load(id); known && time.Now().Before(cert.NotAfter) {
		return cert
	}
	_, err := cert.Verify(x509.VerifyOptions{Roots: s.pki.clientRoots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return nil
	}
	s.verified.Store(id, true)
	return cert
}

func isAdmin(cert *x509.Certificate) bool {
	for _, o := range cert.Subject.Organization {
		if o == "system:masters" {
			return true
		}
	}
	return false
}
