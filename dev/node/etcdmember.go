package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// etcdMember is this server's member of etcd, and what k3s does about it.
type etcdMember struct {
	cfg     *config
	name    string
	certs   *etcdCerts
	client  *etcdClient
	learner map[uint64]stalls // progress of learners, by the leader
}

// stalls remembers how far a learner had come, and since when.
type stalls struct {
	applied uint64
	since   time.Time
}

// openEtcd starts or joins etcd and waits until it serves this server.
func (s *server) openEtcd(start time.Time) error {
	cfg := s.cfg
	initialized := etcdInitialized(cfg)
	switch {
	case initialized:
		infof("Managed etcd cluster bootstrap already complete and initialized")
	case cfg.serverURL != "":
		infof("Managed etcd cluster not yet initialized")
	default:
		infof("Managed etcd cluster initializing")
	}
	joiner := !initialized && cfg.serverURL != ""
	var answer *joinClient
	var err error
	if joiner {
		sleepUntil(start, cfg.times.join)
		if answer, err = fetchBootstrap(cfg); err != nil {
			return fmt.Errorf("starting kubernetes: preparing server: %w", err)
		}
	}
	if s.pki, err = loadPKI(cfg); err != nil {
		return err
	}
	m, err := newEtcdMember(cfg, s.pki)
	if err != nil {
		return err
	}
	s.etcd = m
	if err := m.start(initialized, answer); err != nil {
		return fmt.Errorf("starting kubernetes: preparing server: start managed database: %w", err)
	}
	if initialized {
		s.sayAPIServerRuns()
	}
	if !joiner {
		sleepUntil(start, cfg.times.datastore)
	}
	m.awaitData()
	cfg.faults.reach(stageDatastore)
	infof("etcd data store connection OK")
	s.useStore(openEtcdStore(m.client))
	go m.manage()
	return nil
}

func newEtcdMember(cfg *config, p *clusterPKI) (*etcdMember, error) {
	certs, err := makeEtcdCerts(cfg, p)
	if err != nil {
		return nil, err
	}
	name, err := memberName(cfg)
	if err != nil {
		return nil, err
	}
	client, err := newEtcdClient(clientURL(cfg), certs)
	return &etcdMember{cfg: cfg, name: name, certs: certs, client: client, learner: map[uint64]stalls{}}, err
}

func (m *etcdMember) start(initialized bool, join *joinClient) error {
	own := m.name + "=" + peerURL(m.cfg)
	if initialized {
		infof("Starting etcd for existing cluster member")
		return startEtcd(m.cfg, etcdArguments(m.cfg, m.name, own, "existing"))
	}
	if join == nil {
		infof("Starting etcd for new cluster")
		return startEtcd(m.cfg, etcdArguments(m.cfg, m.name, own, "new"))
	}
	cluster, err := m.join(join)
	if err != nil {
		return err
	}
	infof("Starting etcd for cluster %v", cluster)
	return startEtcd(m.cfg, etcdArguments(m.cfg, m.name, strings.Join(cluster, ","), "existing"))
}

// join adds this server to etcd as a learner, unless an earlier try already
// did, and returns the initial cluster.
func (m *etcdMember) join(j *joinClient) ([]string, error) {
	known, err := j.members()
	if err != nil {
		return nil, err
	}
	client, members, err := m.reach(known)
	if err != nil {
		return nil, err
	}
	add := true
	var cluster []string
	for _, other := range members {
		name := other.Name
		for _, peer := range other.PeerURLs {
			if peer == peerURL(m.cfg) && (name == "" || name == m.name) {
				add, name = false, m.name
			}
		}
		if name != m.name && strings.HasPrefix(name, m.cfg.nodeName+"-") && len(name) == len(m.cfg.nodeName)+9 {
			return nil, errors.New("duplicate node name found, please use a unique name for this node")
		}
		if len(other.PeerURLs) > 0 {
			cluster = append(cluster, name+"="+other.PeerURLs[0])
		}
	}
	if !add {
		return cluster, nil
	}
	infof("Adding %s to etcd cluster %v", peerURL(m.cfg), cluster)
	if err := client.addLearner(context.Background(), peerURL(m.cfg)); err != nil {
		return nil, fmt.Errorf("joining etcd cluster: %w", err)
	}
	return append(cluster, m.name+"="+peerURL(m.cfg)), nil
}

// reach finds a member that answers; learners do not.
func (m *etcdMember) reach(known []member) (*etcdClient, []member, error) {
	last := errors.New("no etcd member is known")
	for _, other := range known {
		for _, endpoint := range other.ClientURLs {
			client, err := newEtcdClient(endpoint, m.certs)
			if err != nil {
				return nil, nil, err
			}
			members, err := client.memberList(context.Background())
			if err == nil {
				return client, members, nil
			}
			last = err
		}
	}
	return nil, nil, last
}

// awaitData polls until etcd serves this member: a learner does not, nor does
// a member without a quorum. A joining server asks for the first time when its
// etcd has just come up, which is before it can be promoted.
func (m *etcdMember) awaitData() {
	begin := time.Now()
	for {
		err := m.test()
		if err == nil {
			return
		}
		pause := m.cfg.times.learnerPoll
		// etcd itself needs a moment to come up; k3s only starts to ask after it.
		if time.Since(begin) < etcdWarmUp && errors.Is(err, errEtcdStarting) {
			time.Sleep(minPeriod / 2)
			continue
		}
		infof("Failed to test data store connection: %v", err)
		time.Sleep(pause)
	}
}

// etcdWarmUp is how long an etcd that does not answer yet counts as starting.
const etcdWarmUp = 5 * time.Second

var (
	errEtcdStarting = errors.New("etcd is starting")
	errLearner      = errors.New("this server has not yet been promoted from learner to voting member")
)

func (m *etcdMember) test() error {
	ctx, cancel := context.WithTimeout(context.Background(), storeDeadline)
	defer cancel()
	status, err := m.client.status(ctx)
	var refused net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &refused):
		return errEtcdStarting
	case err != nil:
		return err
	case status.learner:
		return errLearner
	case status.leader == 0:
		return errEtcdStarting
	}
	_, _, err = m.client.readAll(ctx, true)
	return err
}

// manage does the leader's duty: one promotion per tick.
func (m *etcdMember) manage() {
	for range time.Tick(m.cfg.times.promoteTick) {
		ctx, cancel := context.WithTimeout(context.Background(), storeDeadline)
		if m.checkLeader(ctx) {
			if err := m.promoteOne(ctx); err != nil {
				logf(levelError, "Failed to promote learner: %v", err)
			}
		}
		cancel()
	}
}

func (m *etcdMember) checkLeader(ctx context.Context) bool {
	status, err := m.client.status(ctx)
	return err == nil && status.leader == status.memberID
}

func (m *etcdMember) promoteOne(ctx context.Context) error {
	members, err := m.client.memberList(ctx)
	if err != nil {
		return err
	}
	for _, other := range members {
		if !other.IsLearner {
			continue
		}
		err := m.client.promote(ctx, other.ID)
		if err == nil {
			infof("Promoted learner %s", other.Name)
			delete(m.learner, other.ID)
			return nil
		}
		// Not in sync yet: another tick, unless it never gets anywhere.
		return m.watchLearner(ctx, other)
	}
	return nil
}

// watchLearner removes a learner that makes no progress, since it keeps every
// other server from joining.
func (m *etcdMember) watchLearner(ctx context.Context, other member) error {
	progress, known := m.learner[other.ID]
	if !known {
		progress.since = time.Now()
	}
	for _, endpoint := range other.ClientURLs {
		client, err := newEtcdClient(endpoint, m.certs)
		if err != nil {
			return err
		}
		status, err := client.status(ctx)
		client.conn.http.CloseIdleConnections()
		if err == nil && status.applied > progress.applied {
			progress = stalls{status.applied, time.Now()}
		}
	}
	m.learner[other.ID] = progress
	if time.Since(progress.since) < m.cfg.times.stall {
		return nil
	}
	logf(levelWarn, "Removing learner %s from etcd cluster, no progress for %s", other.Name, m.cfg.times.stall)
	delete(m.learner, other.ID)
	return m.client.removeMember(ctx, other.ID)
}

// removeMember takes a deleted node's member out of etcd.
func (m *etcdMember) removeMember(ctx context.Context, address string) error {
	members, err := m.client.memberList(ctx)
	if err != nil {
		return err
	}
	for _, other := range members {
		for _, peer := range other.PeerURLs {
			if u, err := url.Parse(peer); err == nil && u.Hostname() == address {
				infof("Removing name=%s id=%d address=%s from etcd", other.Name, other.ID, address)
				return m.client.removeMember(ctx, other.ID)
			}
		}
	}
	return nil
}
