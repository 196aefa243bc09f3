package main

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// Headers by which a node names itself to the supervisor.
const (
	nodeNameHeader     = "K3s-Node-Name"
	nodePasswordHeader = "K3s-Node-Password"
	nodeIPHeader       = "K3s-Node-IP"
)

// heartbeat is a kubelet's sign of life, and heartbeatAnswer what it learns.
type heartbeat struct {
	Ready bool `json:"ready"`
}

type heartbeatAnswer struct {
	Servers []string `json:"servers"`
}

// hasToken checks basic authentication with the cluster's token.
func (s *server) hasToken(r *http.Request, users ...string) bool {
	user, password, ok := r.BasicAuth()
	if !ok || subtle.ConstantTimeCompare([]byte(password), []byte(s.pki.token)) != 1 {
		return false
	}
	for _, allowed := range users {
		if user == allowed {
			return true
		}
	}
	return false
}

// serveJoin answers what a joining server asks, before the API is up.
func (s *server) serveJoin(w http.ResponseWriter, r *http.Request) {
	if !s.hasToken(r, "server") {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	if s.etcd == nil && !s.cfg.noDatastore {
		http.Error(w, "etcd disabled", http.StatusBadRequest)
		return
	}
	if r.URL.Path == "/v1-k3s/server-bootstrap" {
		writeJSON(w, http.StatusOK, bootstrap{Files: s.pki.authorities})
		return
	}
	if s.etcd == nil {
		http.Error(w, "etcd disabled", http.StatusBadRequest)
		return
	}
	members, err := s.etcd.client.memberList(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, http.StatusOK, object{"members": members})
}

// serveSupervisor answers nodes.
func (s *server) serveSupervisor(w http.ResponseWriter, r *http.Request) {
	if s.store == nil {
		http.Error(w, "this server keeps no data", http.StatusServiceUnavailable)
		return
	}
	switch r.URL.Path {
	case "/v1-k3s/serving-kubelet.crt":
		s.serveKubeletCert(w, r, func(node string) certRequest {
			return certRequest{commonName: node, hosts: []string{node, r.Header.Get(nodeIPHeader)}, server: true}
		}, s.pki.serverCA)
	case "/v1-k3s/client-kubelet.crt":
		s.serveKubeletCert(w, r, func(node string) certRequest {
			return certRequest{commonName: "system:node:" + node, organization: []string{"system:nodes"}, client: true}
		}, s.pki.clientCA)
	case "/v1-k3s/standin/register", "/v1-k3s/standin/heartbeat":
		s.serveKubelet(w, r)
	default:
		http.NotFound(w, r)
	}
}

// serveKubeletCert gives a node a certificate once its password fits.
func (s *server) serveKubeletCert(w http.ResponseWriter, r *http.Request, ask func(string) certRequest, authority *keyPair) {
	if !s.hasToken(r, "node", "server") {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	node := strings.ToLower(r.Header.Get(nodeNameHeader))
	err := ensureNodePassword(r.Context(), s.store, node, r.Header.Get(nodePasswordHeader))
	if errors.Is(err, errPasswordRejected) {
		http.Error(w, "Forbidden", http.StatusForbidden)
		return
	}
	var pair *keyPair
	if err == nil {
		pair, err = issue(authority, ask(node))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write(append(pair.certPEM, pair.keyPEM...))
}

// serveKubelet takes a kubelet's reports on its own node.
func (s *server) serveKubelet(w http.ResponseWriter, r *http.Request) {
	cert := s.clientCert(r)
	if cert == nil || r.Method != http.MethodPost {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	node := strings.TrimPrefix(cert.Subject.CommonName, "system:node:")
	answer, err := s.kubeletReport(r.Context(), r, node)
	if errors.Is(err, errNotFound) {
		http.Error(w, "nodes \""+node+"\" not found", http.StatusNotFound)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (s *server) kubeletReport(ctx context.Context, r *http.Request, node string) (heartbeatAnswer, error) {
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	var err error
	if strings.HasSuffix(r.URL.Path, "/register") {
		var reg registration
		if err = decoder.Decode(&reg); err == nil {
			reg.Name = node
			err = s.nodes.register(ctx, reg)
		}
	} else {
		var beat heartbeat
		if err = decoder.Decode(&beat); err == nil {
			err = s.nodes.heartbeat(ctx, node, beat.Ready)
		}
	}
	return heartbeatAnswer{Servers: s.nodes.serverAddresses(s.cfg.port)}, err
}
