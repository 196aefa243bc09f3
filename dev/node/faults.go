package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Stages at which a failure can be ordered.
const (
	stageStart      = "start"
	stageDatastore  = "datastore"
	stageAPI        = "api"
	stageRegistered = "registered"
	stageReady      = "ready"
)

var stages = []string{stageStart, stageDatastore, stageAPI, stageRegistered, stageReady}

// fault is one ordered failure: at a stage, on the nodes that match.
type fault struct {
	kind  string // crash, hang or oom
	stage string
	node  string // glob or suffix; empty matches every node
	times int    // how often over restarts; 0 is always
	says  string // a crash's fatal line; empty: that it was ordered
}

// faults are the failures that concern this node.
type faults struct {
	list       []fault
	neverReady bool
	diskFull   bool   // reports DiskPressure
	countDir   string // survives restarts, so that times can be counted
}

// matchNode reports whether a node name is meant. A pattern without glob
// characters is a suffix, so that "agent-1" means the node of any cluster.
func matchNode(pattern, name string) (bool, error) {
	if pattern == "" {
		return true, nil
	}
	if !strings.ContainsAny(pattern, "*?[") {
		return name == pattern || strings.HasSuffix(name, "-"+pattern), nil
	}
	return path.Match(pattern, name)
}

// parseFaults reads "<stage>[@<node>][:<times>]" items separated by commas and
// keeps those that concern the node.
func parseFaults(kind, text, nodeName string) ([]fault, error) {
	var found []fault
	for _, item := range strings.Split(text, ",") {
		if item == "" {
			continue
		}
		f, err := parseFault(kind, item)
		if err != nil {
			return nil, err
		}
		matched, err := matchNode(f.node, nodeName)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", item, err)
		}
		if matched {
			found = append(found, f)
		}
	}
	return found, nil
}

func parseFault(kind, item string) (fault, error) {
	f := fault{kind: kind}
	rest := item
	if i := strings.LastIndex(rest, ":"); i >= 0 {
		n, err := strconv.Atoi(rest[i+1:])
		if err != nil || n < 1 {
			return f, fmt.Errorf("%q: times must be a positive whole number", item)
		}
		f.times, rest = n, rest[:i]
	}
	f.stage, f.node, _ = strings.Cut(rest, "@")
	for _, s := range stages {
		if s == f.stage {
			return f, nil
		}
	}
	return f, fmt.Errorf("%q: the stage must be one of %s", item, strings.Join(stages, ", "))
}

// reach is called by the node at every stage and carries out what was ordered.
func (f *faults) reach(stage string) {
	for _, order := range f.list {
		if order.stage == stage && f.due(order) {
			order.carryOut()
		}
	}
}

// due counts an order's occurrences in a file, because each one may end the
// process.
func (f *faults) due(order fault) bool {
	if order.times == 0 {
		return true
	}
	file := filepath.Join(f.countDir, order.kind+"-"+order.stage)
	raw, _ := os.ReadFile(file)
	done, _ := strconv.Atoi(string(raw))
	if done >= order.times {
		return false
	}
	if err := os.MkdirAll(f.countDir, 0o755); err != nil {
		fatal(err)
	}
	if err := os.WriteFile(file, []byte(strconv.Itoa(done+1)), 0o644); err != nil {
		fatal(err)
	}
	return true
}

func (f fault) carryOut() {
	switch f.kind {
	case "crash":
		if f.says != "" {
			fatal(errors.New(f.says))
		}
		fatal(fmt.Errorf("stand-in: crash ordered at stage %s", f.stage))
	case "hang":
		logf(levelWarn, "stand-in: hang ordered at stage %s", f.stage)
		select {}
	case "oom":
		runOutOfMemory(f.stage)
	}
}

// runOutOfMemory allocates until the kernel kills the process. Without a
// memory limit that would take the whole machine down, so it kills itself.
func runOutOfMemory(stage string) {
	if err := memoryLimited(); err != nil {
		logf(levelWarn, "stand-in: out of memory ordered at stage %s, but %v: killing itself instead", stage, err)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Minute)
	}
	logf(levelWarn, "stand-in: out of memory ordered at stage %s", stage)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(math.MaxInt64)
	var hoard [][]byte
	for {
		block := make([]byte, 4<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		hoard = append(hoard, block)
	}
}

// memoryLimited returns nil if this container has a memory limit, by the
// files of cgroup v2 or v1.
func memoryLimited() error {
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		limit, err := strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64)
		// v1 says "no limit" by a number near the largest one.
		if err == nil && limit < 1<<60 {
			return nil
		}
	}
	return errors.New("the container has no memory limit")
}
