package main

import (
	"context"
	"encoding/json"
)

// heartbeats of a node arrive at any server, so each server shares in one key
// how many it has heard from each node.
type heartbeats struct {
	server string
	shared int64 // shared so far
}

func heardKey(server string) string { return "/standin/heard/" + server }

func (h *heartbeats) share(n *nodes) {
	h.collect(n)
	counts, changed := n.heardSince(&h.shared)
	if !changed {
		return
	}
	value, _ := json.Marshal(counts)
	ctx, cancel := context.WithTimeout(context.Background(), storeDeadline)
	defer cancel()
	if _, err := n.store.put(ctx, heardKey(h.server), value, anyRevision); err != nil {
		h.shared = 0
	}
}

func (h *heartbeats) collect(n *nodes) {
	entries, _ := n.store.list(heardKey(""))
	for _, e := range entries {
		if e.key == heardKey(h.server) {
			continue
		}
		var counts map[string]int64
		if json.Unmarshal(e.value, &counts) == nil {
			n.hearFrom(e.key, counts)
		}
	}
}
