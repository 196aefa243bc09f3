package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Phases of a server, as its clients see them.
const (
	phaseStarting   int32 = iota // everything is 503
	phaseSupervisor              // /cacerts, /ping and joins work
	phaseAPI                     // everything works
)

// server is a running k3s server.
type server struct {
	cfg   *config
	pki   *clusterPKI
	store *store
	etcd  *etcdMember // nil without etcd
	nodes *nodes
	api   *api
	proxy http.Handler // instead of a store, where another server has it
	phase int32

	apiServerRuns sync.Once // it is said of once a start
	verified      sync.Map  // SHA-256 of client certificates found good
}

func (s *server) setPhase(phase int32) { atomic.StoreInt32(&s.phase, phase) }
func (s *server) at(phase int32) bool  { return atomic.LoadInt32(&s.phase) >= phase }

// runServer plays a server's start in k3s's order. It returns only on failure.
func runServer(cfg *config) error {
	start := time.Now()
	sleepUntil(start, cfg.times.starting)
	infof("Starting k3s %s (%s)", cfg.version, commitHash)
	cfg.faults.reach(stageStart)
	if err := noteRegistries(cfg); err != nil {
		return err
	}
	s := &server{cfg: cfg}
	if err := s.openDatastore(start); err != nil {
		return err
	}
	datastoreUp := time.Now()
	failed := make(chan error, 2)
	sleepUntil(datastoreUp, cfg.times.listen)
	if err := s.listen(failed); err != nil {
		return err
	}
	go s.startAgentPart(datastoreUp, failed)
	go func() {
		if err := s.bringUp(datastoreUp); err != nil {
			failed <- err
		}
	}()
	return <-failed
}

// bringUp goes from a working data store to "up and running".
func (s *server) bringUp(base time.Time) error {
	times := s.cfg.times
	sleepUntil(base, times.kubeconfig)
	if err := s.announce(); err != nil {
		return err
	}
	sleepUntil(base, times.cacerts)
	s.setPhase(phaseSupervisor)
	sleepUntil(base, times.api)
	if s.store != nil {
		if err := s.startAPI(); err != nil {
			return err
		}
	}
	s.setPhase(phaseAPI)
	s.cfg.faults.reach(stageAPI)
	sleepUntil(base, times.up)
	infof("k3s is up and running")
	if s.store != nil {
		infof("Cluster dns configmap has been set successfully")
	}
	return nil
}

// announce writes what k3s writes on disk before its API server runs.
func (s *server) announce() error {
	file, err := writeKubeconfig(s.cfg, s.pki)
	if err != nil {
		return err
	}
	infof("Node token is available at %s", s.cfg.serverDir("token"))
	infof("Wrote kubeconfig %s", file)
	infof("Run: k3s kubectl")
	s.sayAPIServerRuns()
	return nil
}

// sayAPIServerRuns logs what k3s logs before the API server waits for the data
// store (pkg/daemons/control/server.go): on a restart without a quorum, too.
func (s *server) sayAPIServerRuns() {
	s.apiServerRuns.Do(func() {
		infof("Waiting for API server to become available")
		infof("Running kube-apiserver --advertise-address=%s --secure-port=%d --tls-cert-file=%s",
			s.cfg.nodeIP, s.cfg.port, s.cfg.serverDir("tls", "serving-kube-apiserver.crt"))
	})
}

// startAPI waits for a quorum, as the API server does, and fills a new cluster.
func (s *server) startAPI() error {
	for {
		err := seedAfterRefresh(s.store)
		if err == nil {
			break
		}
		logf(levelError, "Waiting for API server to become available: %v", err)
		time.Sleep(s.cfg.times.learnerPoll)
	}
	go s.superviseNodes()
	go s.superviseWorkloads()
	go s.deployManifests(time.Now())
	return nil
}

func seedAfterRefresh(st *store) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*storeDeadline)
	defer cancel()
	if err := st.refresh(ctx); err != nil {
		return err
	}
	return seedCluster(ctx, st)
}

// superviseNodes is the node lifecycle controller; with several servers it
// acts on the etcd leader's only, and on all of those that share a data store
// outside: they come to the same result.
func (s *server) superviseNodes() {
	heard := heartbeats{server: s.cfg.nodeName}
	for range time.Tick(s.cfg.times.heartbeat) {
		if s.etcd != nil || s.cfg.datastore.endpoint != "" {
			heard.share(s.nodes)
		}
		ctx, cancel := context.WithTimeout(context.Background(), storeDeadline)
		if s.etcd == nil || s.etcd.checkLeader(ctx) {
			_ = s.nodes.checkGrace(ctx)
		}
		cancel()
	}
}

// openDatastore finds out which data store this server has, and waits for it.
func (s *server) openDatastore(start time.Time) error {
	cfg := s.cfg
	_, err := os.Stat(fileStorePath(cfg))
	hasFile := err == nil
	switch {
	case cfg.datastore.endpoint != "":
		return s.openExternal(start)
	case cfg.noDatastore && cfg.serverURL != "":
		return s.openProxy(start)
	case etcdInitialized(cfg), !hasFile && !cfg.noDatastore && (cfg.clusterInit || cfg.serverURL != ""):
		return s.openEtcd(start)
	case hasFile && cfg.serverURL != "":
		return errors.New("starting kubernetes: preparing server: this server has its own data store and can't join another's")
	case hasFile && cfg.clusterInit && !cfg.noDatastore:
		return errors.New("stand-in: the migration of a single server's data store to etcd is not played")
	}
	return s.openFile(start)
}

func (s *server) openFile(start time.Time) error {
	var err error
	if s.pki, err = loadPKI(s.cfg); err != nil {
		return err
	}
	st, err := openFileStore(fileStorePath(s.cfg))
	if err != nil {
		return err
	}
	sleepUntil(start, s.cfg.times.datastore)
	s.cfg.faults.reach(stageDatastore)
	s.useStore(st)
	return nil
}

func (s *server) useStore(st *store) {
	s.store = st
	s.nodes = newNodes(st, s.cfg.times.grace)
	s.api = &api{cfg: s.cfg, store: st, nodeDeleted: s.nodeDeleted}
}

// nodeDeleted is what follows the deletion of a Node: a server also leaves etcd. k3s releases
// without these controllers remember password and member.
func (s *server) nodeDeleted(ctx context.Context, node object) {
	name := stringField(node, "metadata", "name")
	if s.cfg.remembers {
		return
	}
	if err := s.nodes.forget(ctx, name); err != nil {
		logf(levelError, "Unable to clean up after node %s: %v", name, err)
	}
	if s.etcd == nil || stringMap(node, "metadata", "labels")["node-role.kubernetes.io/etcd"] == "" {
		return
	}
	address, _ := nodeAddressCell("InternalIP")(node).(string)
	if err := s.etcd.removeMember(ctx, address); err != nil {
		logf(levelError, "Unable to remove %s from etcd: %v", name, err)
	}
}

// noteRegistries reads the registries file far enough to notice one that no
// k3s could use; it pulls nothing.
func noteRegistries(cfg *config) error {
	file := cfg.registriesFile()
	raw, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for number, line := range strings.Split(string(raw), "\n") {
		if strings.HasPrefix(line, "\t") {
			return fmt.Errorf("%s: yaml: line %d: found character that cannot start any token", file, number+1)
		}
	}
	infof("Using private registry config file at %s", file)
	return nil
}
