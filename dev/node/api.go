package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// api is the Kubernetes API over a store.
type api struct {
	cfg   *config
	store *store
	// nodeDeleted does what k3s's controllers do after a Node is gone.
	nodeDeleted func(ctx context.Context, node object)
}

// maxBody is more than any object a test writes.
const maxBody = 1 << 20

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/readyz", "/livez", "/healthz", "/readyz/etcd", "/livez/etcd", "/healthz/etcd", "/readyz/ping", "/livez/ping":
		a.serveHealth(w, r)
		return
	}
	if a.serveDiscovery(w, strings.TrimRight(r.URL.Path, "/")) {
		return
	}
	t, ok := parseTarget(r.URL.Path)
	if !ok {
		writeStatus(w, http.StatusNotFound, "NotFound", "the server could not find the requested resource")
		return
	}
	a.serveTarget(w, r, t)
}

// serveHealth fails when etcd does, as kube-apiserver's health checks do.
func (a *api) serveHealth(w http.ResponseWriter, r *http.Request) {
	check := strings.Split(strings.Trim(r.URL.Path, "/"), "/")[0]
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	err := a.store.refresh(ctx)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "[+]ping ok\n[-]etcd failed: reason withheld\n%s check failed\n", check)
		return
	}
	if _, verbose := r.URL.Query()["verbose"]; verbose {
		fmt.Fprintf(w, "[+]ping ok\n[+]etcd ok\n%s check passed\n", check)
		return
	}
	fmt.Fprint(w, "ok")
}

func (a *api) serveTarget(w http.ResponseWriter, r *http.Request, t target) {
	if t.subresource != "" && !(t.name == "nodes" && t.subresource == "status") {
		writeStatus(w, http.StatusNotFound, "NotFound", "the server could not find the requested resource")
		return
	}
	if r.Method != http.MethodGet && !t.writable {
		writeStatus(w, http.StatusMethodNotAllowed, "MethodNotAllowed",
			"the stand-in runs no workloads: "+t.name+" can't be written")
		return
	}
	var err error
	switch {
	case r.Method == http.MethodGet && t.object == "":
		err = a.listOrWatch(w, r, t)
	case r.Method == http.MethodGet:
		err = a.getObject(w, r, t)
	case r.Method == http.MethodPost && t.object == "":
		err = a.createObject(w, r, t)
	case r.Method == http.MethodPut && t.object != "", r.Method == http.MethodPatch && t.object != "":
		err = a.changeObject(w, r, t)
	case r.Method == http.MethodDelete && t.object != "":
		err = a.deleteObject(w, r, t)
	default:
		writeStatus(w, http.StatusMethodNotAllowed, "MethodNotAllowed", "the server does not allow this method on the requested resource")
	}
	if err != nil {
		writeError(w, t, err)
	}
}

func (a *api) listOrWatch(w http.ResponseWriter, r *http.Request, t target) error {
	query := r.URL.Query()
	selected, err := parseSelectors(query.Get("labelSelector"), query.Get("fieldSelector"))
	if err != nil {
		return badRequest(err)
	}
	if watching, _ := strconv.ParseBool(query.Get("watch")); watching {
		return a.watch(w, r, t, selected)
	}
	// Version 0 means "what you have"; everything else asks a quorum.
	if query.Get("resourceVersion") != "0" {
		if err := a.store.refresh(r.Context()); err != nil {
			return err
		}
	}
	objects, revision, err := a.selected(t, selected)
	if err != nil {
		return err
	}
	version := strconv.FormatInt(revision, 10)
	if wantsTable(r.Header.Get("Accept")) {
		writeJSON(w, http.StatusOK, table(t.kind, objects, version, query.Get("includeObject")))
		return nil
	}
	writeJSON(w, http.StatusOK, object{"kind": t.kind + "List", "apiVersion": t.apiVersion(),
		"metadata": object{"resourceVersion": version}, "items": objects})
	return nil
}

func (a *api) selected(t target, selected predicate) ([]object, int64, error) {
	entries, revision := a.store.list(t.listPrefix())
	objects := []object{}
	for _, e := range entries {
		o, err := decode(e.value, e.revision)
		if err != nil {
			return nil, 0, err
		}
		if selected(o) {
			objects = append(objects, o)
		}
	}
	return objects, revision, nil
}

func (a *api) getObject(w http.ResponseWriter, r *http.Request, t target) error {
	if err := a.store.refresh(r.Context()); err != nil {
		return err
	}
	e, err := a.store.get(t.key())
	if err != nil {
		return err
	}
	o, err := decode(e.value, e.revision)
	if err != nil {
		return err
	}
	writeObject(w, r, t, http.StatusOK, o)
	return nil
}

func (a *api) createObject(w http.ResponseWriter, r *http.Request, t target) error {
	o, err := readObject(r)
	if err != nil {
		return err
	}
	t.object = stringField(o, "metadata", "name")
	if t.object == "" {
		return badRequest(errors.New("metadata.name: Required value: name or generateName is required"))
	}
	made := newObject(t.apiVersion(), t.kind, t.namespace, t.object)
	meta := section(o, "metadata")
	for key, value := range section(made, "metadata") {
		meta[key] = value
	}
	o["kind"], o["apiVersion"] = t.kind, t.apiVersion()
	return a.storeObject(w, r, t, o, 0, http.StatusCreated)
}

// changeObject is PUT and PATCH.
func (a *api) changeObject(w http.ResponseWriter, r *http.Request, t target) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return badRequest(err)
	}
	for {
		if err := a.store.refresh(r.Context()); err != nil {
			return err
		}
		e, err := a.store.get(t.key())
		if err != nil {
			return err
		}
		changed, err := changedObject(r, e, body)
		if err != nil {
			return err
		}
		err = a.storeObject(w, r, t, changed, e.revision, http.StatusOK)
		// A patch without a version is tried again on the newer object.
		if errors.Is(err, errConflict) && r.Method == http.MethodPatch {
			continue
		}
		return err
	}
}

// changedObject is the new object, once its version has been checked.
func changedObject(r *http.Request, e entry, body []byte) (object, error) {
	old, err := decode(e.value, e.revision)
	if err != nil {
		return nil, err
	}
	version := stringField(old, "metadata", "resourceVersion")
	identity := stringField(old, "metadata", "uid")
	var changed object
	if r.Method == http.MethodPut {
		err = json.Unmarshal(body, &changed)
	} else {
		contentType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		changed, err = applyPatch(old, strings.TrimSpace(contentType), body)
	}
	if err != nil {
		return nil, badRequest(err)
	}
	meta := section(changed, "metadata")
	if given, _ := meta["resourceVersion"].(string); given != "" && given != version {
		return nil, errStale
	}
	meta["uid"] = identity
	return changed, nil
}

// storeObject writes an object at an expected revision and answers with it.
func (a *api) storeObject(w http.ResponseWriter, r *http.Request, t target, o object, want int64, code int) error {
	value, err := encode(o)
	if err != nil {
		return err
	}
	revision, err := a.store.put(r.Context(), t.key(), value, want)
	if errors.Is(err, errConflict) && want == 0 {
		return errExists
	}
	if err != nil {
		return err
	}
	if o, err = decode(value, revision); err != nil {
		return err
	}
	writeObject(w, r, t, code, o)
	return nil
}

func (a *api) deleteObject(w http.ResponseWriter, r *http.Request, t target) error {
	if err := a.store.refresh(r.Context()); err != nil {
		return err
	}
	e, err := a.store.get(t.key())
	if err != nil {
		return err
	}
	o, err := decode(e.value, e.revision)
	if err != nil {
		return err
	}
	if _, err := a.store.put(r.Context(), t.key(), nil, anyRevision); err != nil {
		return err
	}
	if t.name == "nodes" && a.nodeDeleted != nil {
		a.nodeDeleted(r.Context(), o)
	}
	writeJSON(w, http.StatusOK, object{"kind": "Status", "apiVersion": "v1", "metadata": object{}, "status": "Success",
		"details": object{"name": t.object, "group": t.group, "kind": t.name, "uid": stringField(o, "metadata", "uid")}})
	return nil
}

func readObject(r *http.Request) (object, error) {
	var o object
	if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&o); err != nil {
		return nil, badRequest(err)
	}
	return o, nil
}
