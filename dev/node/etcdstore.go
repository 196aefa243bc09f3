package main

import (
	"context"
	"errors"
	"time"
)

// etcdBackend keeps the state in etcd, shared by all servers.
type etcdBackend struct{ client *etcdClient }

func (b *etcdBackend) write(ctx context.Context, key string, value []byte, want int64) (int64, error) {
	return b.client.write(ctx, key, value, want)
}

func (b *etcdBackend) current(ctx context.Context) (int64, error) {
	_, revision, err := b.client.readAll(ctx, true)
	return revision, err
}

// openEtcdStore returns a store that follows etcd for as long as the process
// lives. It is empty until etcd answers.
func openEtcdStore(client *etcdClient) *store {
	s := newStore()
	s.backend = &etcdBackend{client}
	go func() {
		for {
			if err := load(s, client); err == nil {
				follow(s, client)
			}
			time.Sleep(etcdRetry)
		}
	}()
	return s
}

func load(s *store, client *etcdClient) error {
	records, revision, err := client.readAll(context.Background(), false)
	if err != nil {
		return err
	}
	data := make(map[string]entry, len(records))
	for _, r := range records {
		data[r.key] = entry{r.value, r.revision}
	}
	s.reset(data, revision)
	return nil
}

// follow watches etcd and takes a broken stream up again where it ended. It
// returns when that point in history is gone.
func follow(s *store, client *etcdClient) {
	for {
		_, revision := s.list("\x00")
		err := client.watch(context.Background(), revision+1, func(r record, deleted bool) {
			if deleted {
				r.value = nil
			}
			s.apply(r.key, r.value, r.revision)
		})
		if errors.Is(err, errGone) {
			return
		}
		time.Sleep(etcdRetry)
	}
}
