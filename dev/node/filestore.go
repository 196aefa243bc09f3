package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
)

// fileBackend plays the part of SQLite: the state of a cluster whose only
// server is this one, in one JSON file.
type fileBackend struct {
	path  string
	store *store
	mu    sync.Mutex
}

type fileContent struct {
	Revision int64                `json:"revision"`
	Entries  map[string]fileEntry `json:"entries"`
}

type fileEntry struct {
	Value    json.RawMessage `json:"value"`
	Revision int64           `json:"revision"`
}

func fileStorePath(cfg *config) string { return cfg.serverDir("db", "state.json") }

func openFileStore(path string) (*store, error) {
	content := fileContent{Revision: 1}
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &content)
	} else if errors.Is(err, os.ErrNotExist) {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err != nil {
		return nil, err
	}
	data := map[string]entry{}
	for key, e := range content.Entries {
		data[key] = entry{e.Value, e.Revision}
	}
	s := newStore()
	b := &fileBackend{path: path, store: s}
	s.backend = b
	s.reset(data, content.Revision)
	return s, b.save(data, content.Revision)
}

func (b *fileBackend) write(_ context.Context, key string, value []byte, want int64) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, revision := b.snapshot()
	if old := data[key].revision; want != anyRevision && old != want {
		return 0, errConflict
	}
	revision++
	if value == nil {
		delete(data, key)
	} else {
		data[key] = entry{value, revision}
	}
	if err := b.save(data, revision); err != nil {
		return 0, err
	}
	b.store.apply(key, value, revision)
	return revision, nil
}

func (b *fileBackend) snapshot() (map[string]entry, int64) {
	entries, revision := b.store.list("")
	data := make(map[string]entry, len(entries))
	for _, e := range entries {
		data[e.key] = e.entry
	}
	return data, revision
}

// save replaces the file in one step: a killed node finds the old state or
// the new one.
func (b *fileBackend) save(data map[string]entry, revision int64) error {
	content := fileContent{Revision: revision, Entries: map[string]fileEntry{}}
	for key, e := range data {
		content.Entries[key] = fileEntry{e.value, e.revision}
	}
	raw, err := json.Marshal(content)
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.path+".new", raw, 0o600); err != nil {
		return err
	}
	return os.Rename(b.path+".new", b.path)
}

func (b *fileBackend) current(context.Context) (int64, error) {
	_, revision := b.store.list("\x00")
	return revision, nil
}
