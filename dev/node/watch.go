package main

import (
	"encoding/json"
	"errors"
	"math/rand"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// watcher is one running watch request.
type watcher struct {
	target   target
	selected predicate
	asTable  bool
	include  string
	out      *json.Encoder
	flush    func()
}

// bookmarkPeriod is kube-apiserver's.
const bookmarkPeriod = time.Minute

func (a *api) watch(w http.ResponseWriter, r *http.Request, t target, selected predicate) error {
	flusher, ok := w.(http.Flusher)
	if !ok {
		return errors.New("streaming is not possible on this connection")
	}
	query := r.URL.Query()
	from, err := a.watchStart(r, query.Get("resourceVersion"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	flusher.Flush()
	x := &watcher{target: t, selected: selected, asTable: wantsTable(r.Header.Get("Accept")),
		include: query.Get("includeObject"), out: json.NewEncoder(w), flush: flusher.Flush}
	if from < 0 {
		from = x.sendCurrent(a.store)
	}
	bookmarks, _ := strconv.ParseBool(query.Get("allowWatchBookmarks"))
	x.follow(a.store, r, from, bookmarks)
	return nil
}

// watchStart is the version to begin after; below 0 means to send what is
// there first.
func (a *api) watchStart(r *http.Request, version string) (int64, error) {
	if version == "" || version == "0" {
		return -1, a.store.refresh(r.Context())
	}
	from, err := strconv.ParseInt(version, 10, 64)
	if err != nil || from < 0 {
		return 0, badRequest(errors.New("invalid resourceVersion " + strconv.Quote(version)))
	}
	return from, nil
}

func (x *watcher) sendCurrent(s *store) int64 {
	entries, revision := s.list(x.target.listPrefix())
	for _, e := range entries {
		if o, err := decode(e.value, e.revision); err == nil && x.selected(o) {
			x.send("ADDED", o)
		}
	}
	x.flush()
	return revision
}

// follow sends changes until the client leaves or its time is over.
func (x *watcher) follow(s *store, r *http.Request, from int64, bookmarks bool) {
	end := time.NewTimer(watchDuration(r.URL.Query().Get("timeoutSeconds")))
	defer end.Stop()
	bookmark := time.NewTicker(bookmarkPeriod)
	defer bookmark.Stop()
	for {
		changes, newest, changed, err := s.since(from)
		if err != nil {
			x.sendRaw("ERROR", status(http.StatusGone, "Expired", "too old resource version: "+strconv.FormatInt(from, 10)))
			x.flush()
			return
		}
		x.sendChanges(changes)
		if newest > from {
			from = newest
		}
		select {
		case <-changed:
		case <-bookmark.C:
			x.bookmark(bookmarks, from)
		case <-end.C:
			x.bookmark(bookmarks, from)
			return
		case <-r.Context().Done():
			return
		}
	}
}

// watchDuration is what was asked for or, as kube-apiserver does it, between
// half an hour and an hour.
func watchDuration(text string) time.Duration {
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	return 30*time.Minute + time.Duration(rand.Int63n(int64(30*time.Minute)))
}

func (x *watcher) sendChanges(changes []change) {
	sent := false
	for _, c := range changes {
		if strings.HasPrefix(c.key, x.target.listPrefix()) {
			sent = x.sendChange(c) || sent
		}
	}
	if sent {
		x.flush()
	}
}

// sendChange translates a change of the store into what a watch with this
// selector sees: an object may enter or leave the selection.
func (x *watcher) sendChange(c change) bool {
	newer, older := x.view(c.value, c.revision), x.view(c.prev, c.revision)
	switch {
	case newer != nil && older != nil:
		x.send("MODIFIED", newer)
	case newer != nil:
		x.send("ADDED", newer)
	case older != nil:
		x.send("DELETED", older)
	default:
		return false
	}
	return true
}

func (x *watcher) view(value []byte, revision int64) object {
	if value == nil {
		return nil
	}
	o, err := decode(value, revision)
	if err != nil || !x.selected(o) {
		return nil
	}
	return o
}

func (x *watcher) send(kind string, o object) {
	if x.asTable {
		o = table(x.target.kind, []object{o}, stringField(o, "metadata", "resourceVersion"), x.include)
	}
	x.sendRaw(kind, o)
}

func (x *watcher) sendRaw(kind string, o object) {
	_ = x.out.Encode(object{"type": kind, "object": o})
}

func (x *watcher) bookmark(wanted bool, revision int64) {
	if !wanted {
		return
	}
	version := strconv.FormatInt(revision, 10)
	x.sendRaw("BOOKMARK", object{"kind": x.target.kind, "apiVersion": x.target.apiVersion(),
		"metadata": object{"resourceVersion": version, "creationTimestamp": nil}})
	x.flush()
}
