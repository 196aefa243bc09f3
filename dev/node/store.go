package main

import (
	"context"
	"errors"
	"sort"
	"strings"
	"sync"
	"time"
)

// Errors of the store that the API turns into answers.
var (
	errNotFound   = errors.New("not found")
	errConflict   = errors.New("conflict")
	errGone       = errors.New("too old resource version")
	errNoStore    = errors.New("etcdserver: request timed out")
	anyRevision   = int64(-1)
	storeDeadline = 5 * time.Second // kube-apiserver gives up on etcd after a similar time
)

// backend is where the state lives: a file, or etcd.
type backend interface {
	// write stores value (nil deletes) if the key's revision is want: 0 means
	// that it does not exist, anyRevision does not care.
	write(ctx context.Context, key string, value []byte, want int64) (int64, error)
	// current returns the newest revision, asking a quorum where there is one.
	current(ctx context.Context) (int64, error)
}

type entry struct {
	value    []byte
	revision int64
}

// change is one step of the store's history.
type change struct {
	key         string
	value, prev []byte // nil where there is none
	revision    int64
}

// store is a copy of the state in memory, kept up to date by its backend, with
// enough history for watches to resume.
type store struct {
	backend  backend
	mu       sync.Mutex
	data     map[string]entry
	history  []change
	oldest   int64 // watches can resume from this revision
	revision int64
	changed  chan struct{} // closed at every change
}

// historyLength changes are kept: those of a cluster of a hundred nodes
// coming up.
const historyLength = 1000

func newStore() *store {
	return &store{data: map[string]entry{}, changed: make(chan struct{})}
}

// reset replaces everything; watches in the middle have to begin again.
func (s *store) reset(data map[string]entry, revision int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data, s.history, s.oldest, s.revision = data, nil, revision, revision
	s.wake()
}

// apply takes one change from the backend; value nil is a deletion.
func (s *store) apply(key string, value []byte, revision int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision <= s.data[key].revision {
		return
	}
	prev := s.data[key].value
	if value == nil {
		delete(s.data, key)
	} else {
		s.data[key] = entry{value, revision}
	}
	s.history = append(s.history, change{key, value, prev, revision})
	if len(s.history) > historyLength {
		drop := len(s.history) - historyLength*3/4
		s.oldest = s.history[drop-1].revision
		s.history = append([]change(nil), s.history[drop:]...)
	}
	if revision > s.revision {
		s.revision = revision
	}
	s.wake()
}

func (s *store) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *store) get(key string) (entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.data[key]
	if !ok {
		return e, errNotFound
	}
	return e, nil
}

type keyed struct {
	key string
	entry
}

// list returns the entries below a prefix in order, and the revision they are of.
func (s *store) list(prefix string) ([]keyed, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []keyed
	for key, e := range s.data {
		if strings.HasPrefix(key, prefix) {
			found = append(found, keyed{key, e})
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].key < found[j].key })
	return found, s.revision
}

// since returns the changes after a revision, and a channel that is closed at
// the next one.
func (s *store) since(revision int64) ([]change, int64, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision < s.oldest {
		return nil, 0, nil, errGone
	}
	first := sort.Search(len(s.history), func(i int) bool { return s.history[i].revision > revision })
	return append([]change(nil), s.history[first:]...), s.revision, s.changed, nil
}

// isNewer says whether anything has changed since a revision.
func (s *store) isNewer(revision int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision > revision
}

// refresh waits until the copy is as new as a quorum's answer.
func (s *store) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	newest, err := s.backend.current(ctx)
	if err != nil {
		return err
	}
	return s.waitFor(ctx, newest)
}

func (s *store) waitFor(ctx context.Context, revision int64) error {
	for {
		s.mu.Lock()
		have, changed := s.revision, s.changed
		s.mu.Unlock()
		if have >= revision {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errNoStore
		}
	}
}

// put writes and waits until the copy shows it, so that a client reads what it
// wrote.
func (s *store) put(ctx context.Context, key string, value []byte, want int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	revision, err := s.backend.write(ctx, key, value, want)
	if err != nil {
		return 0, err
	}
	return revision, s.waitFor(ctx, revision)
}

// update changes an entry by a function and tries again when another writer
// was faster. The function gets nil if there is no entry; if it returns nil,
// nothing is written.
func (s *store) update(ctx context.Context, key string, change func([]byte) ([]byte, error)) error {
	for {
		e, err := s.get(key)
		if err != nil && !errors.Is(err, errNotFound) {
			return err
		}
		value, err := change(e.value)
		if err != nil || value == nil {
			return err
		}
		_, err = s.put(ctx, key, value, e.revision)
		if !errors.Is(err, errConflict) {
			return err
		}
		if err := s.refresh(ctx); err != nil {
			return err
		}
	}
}
