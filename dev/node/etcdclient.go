package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// etcdClient makes the few calls to etcd that k3s makes.
type etcdClient struct{ conn grpcConn }

// member is one of etcd's members.
type member struct {
	ID         uint64   `json:"ID"`
	Name       string   `json:"name"`
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"`
	IsLearner  bool     `json:"isLearner"`
}

// etcdStatus is what a member says of itself.
type etcdStatus struct {
	memberID, leader, applied uint64
	learner                   bool
}

// record is a key in etcd; a deletion has no value.
type record struct {
	key      string
	value    []byte
	revision int64
}

func newEtcdClient(endpoint string, certs *etcdCerts) (*etcdClient, error) {
	cert, err := tls.X509KeyPair(certs.client.certPEM, certs.client.keyPEM)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSHandshakeTimeout: storeDeadline,
		TLSClientConfig: &tls.Config{RootCAs: certs.authority.pool(), Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}}
	return &etcdClient{grpcConn{base: endpoint, http: &http.Client{Transport: transport}}}, nil
}

func (c *etcdClient) call(ctx context.Context, method string, request []byte) ([]part, error) {
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	answer, err := c.conn.call(ctx, "/etcdserverpb."+method, request)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, context.DeadlineExceeded
	}
	if err != nil {
		return nil, err
	}
	return parts(answer)
}

func (c *etcdClient) memberList(ctx context.Context) ([]member, error) {
	answer, err := c.call(ctx, "Cluster/MemberList", nil)
	if err != nil {
		return nil, err
	}
	var members []member
	for _, p := range answer {
		if p.number != 2 {
			continue
		}
		m, err := parseMember(p.data)
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	return members, nil
}

func parseMember(data []byte) (member, error) {
	var m member
	fields, err := parts(data)
	for _, p := range fields {
		switch p.number {
		case 1:
			m.ID = p.value
		case 2:
			m.Name = string(p.data)
		case 3:
			m.PeerURLs = append(m.PeerURLs, string(p.data))
		case 4:
			m.ClientURLs = append(m.ClientURLs, string(p.data))
		case 5:
			m.IsLearner = p.value == 1
		}
	}
	return m, err
}

func (c *etcdClient) addLearner(ctx context.Context, peerURL string) error {
	_, err := c.call(ctx, "Cluster/MemberAdd", message(nil).string(1, peerURL).bool(2, true))
	return err
}

func (c *etcdClient) removeMember(ctx context.Context, id uint64) error {
	_, err := c.call(ctx, "Cluster/MemberRemove", message(nil).uint(1, id))
	return err
}

func (c *etcdClient) promote(ctx context.Context, id uint64) error {
	_, err := c.call(ctx, "Cluster/MemberPromote", message(nil).uint(1, id))
	return err
}

func (c *etcdClient) status(ctx context.Context) (etcdStatus, error) {
	var s etcdStatus
	answer, err := c.call(ctx, "Maintenance/Status", nil)
	for _, p := range answer {
		switch p.number {
		case 1:
			header, err := parts(p.data)
			if err != nil {
				return s, err
			}
			for _, h := range header {
				if h.number == 2 {
					s.memberID = h.value
				}
			}
		case 4:
			s.leader = p.value
		case 7:
			s.applied = p.value
		case 10:
			s.learner = p.value == 1
		}
	}
	return s, err
}

// everything is the range of all keys.
var everything = []byte{0}

// get returns one key's value, nil if there is none.
func (c *etcdClient) get(ctx context.Context, key string) ([]byte, error) {
	answer, err := c.call(ctx, "KV/Range", message(nil).string(1, key))
	if err != nil {
		return nil, err
	}
	for _, p := range answer {
		if p.number == 2 {
			r, err := parseRecord(p.data)
			return r.value, err
		}
	}
	return nil, nil
}

// readAll returns all keys and the revision they are of. With count it
// returns only the revision.
func (c *etcdClient) readAll(ctx context.Context, count bool) ([]record, int64, error) {
	request := message(nil).bytes(1, everything).bytes(2, everything).bool(9, count)
	answer, err := c.call(ctx, "KV/Range", request)
	if err != nil {
		return nil, 0, err
	}
	var records []record
	var revision int64
	for _, p := range answer {
		switch p.number {
		case 1:
			revision, err = headerRevision(p.data)
		case 2:
			var r record
			r, err = parseRecord(p.data)
			records = append(records, r)
		}
		if err != nil {
			return nil, 0, err
		}
	}
	return records, revision, nil
}

func headerRevision(data []byte) (int64, error) {
	header, err := parts(data)
	for _, p := range header {
		if p.number == 3 {
			return int64(p.value), err
		}
	}
	return 0, err
}

func parseRecord(data []byte) (record, error) {
	fields, err := parts(data)
	r := record{value: []byte{}}
	for _, p := range fields {
		switch p.number {
		case 1:
			r.key = string(p.data)
		case 3:
			r.revision = int64(p.value)
		case 5:
			r.value = p.data
		}
	}
	return r, err
}

// write puts or (value nil) deletes a key, if its revision is want.
func (c *etcdClient) write(ctx context.Context, key string, value []byte, want int64) (int64, error) {
	var txn message
	if want != anyRevision {
		const equal, modRevision = 0, 2
		txn = txn.bytes(1, message(nil).uint(1, equal).uint(2, modRevision).string(3, key).uint(6, uint64(want)))
	}
	put, remove := 2, 3
	if value == nil {
		txn = txn.bytes(2, message(nil).bytes(remove, message(nil).string(1, key)))
	} else {
		txn = txn.bytes(2, message(nil).bytes(put, message(nil).string(1, key).bytes(2, value)))
	}
	answer, err := c.call(ctx, "KV/Txn", txn)
	if err != nil {
		return 0, err
	}
	var revision int64
	succeeded := false
	for _, p := range answer {
		switch p.number {
		case 1:
			revision, err = headerRevision(p.data)
		case 2:
			succeeded = p.value == 1
		}
	}
	if err == nil && !succeeded {
		err = errConflict
	}
	return revision, err
}

// watch calls apply for every change of any key from a revision on. It
// returns when the stream ends.
func (c *etcdClient) watch(ctx context.Context, from int64, apply func(record, bool)) error {
	create := message(nil).bytes(1, everything).bytes(2, everything).uint(3, uint64(from))
	return c.conn.stream(ctx, "/etcdserverpb.Watch/Watch", message(nil).bytes(1, create), func(data []byte) error {
		fields, err := parts(data)
		if err != nil {
			return err
		}
		for _, p := range fields {
			switch {
			case p.number == 5 && p.value > 0:
				return errGone
			case p.number == 4 && p.value == 1:
				return fmt.Errorf("etcd cancelled the watch")
			case p.number == 11:
				if err := applyEvent(p.data, apply); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func applyEvent(data []byte, apply func(record, bool)) error {
	fields, err := parts(data)
	if err != nil {
		return err
	}
	deleted := false
	var r record
	for _, p := range fields {
		switch p.number {
		case 1:
			deleted = p.value == 1
		case 2:
			if r, err = parseRecord(p.data); err != nil {
				return err
			}
		}
	}
	apply(r, deleted)
	return nil
}

// etcdRetry is the pause after a broken connection to the local etcd.
const etcdRetry = 200 * time.Millisecond
