package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// bundled is one of k3s's own manifests, and what it makes that is played.
type bundled struct {
	path       string // below the folder of manifests
	component  string // as --disable names it
	deployment string
	charts     []string
}

var bundledManifests = []bundled{
	{path: "ccm.yaml", component: "ccm"},
	{path: "coredns.yaml", component: "coredns", deployment: "coredns"},
	{path: "local-storage.yaml", component: "local-storage", deployment: "local-path-provisioner"},
	{path: "metrics-server/metrics-server-deployment.yaml", component: "metrics-server", deployment: "metrics-server"},
	{path: "rolebindings.yaml", component: "rolebindings"},
	{path: "traefik.yaml", component: "traefik", charts: []string{"traefik-crd", "traefik"}},
}

// addonName is what k3s calls the AddOn of a manifest: its name to the first dot.
func addonName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".")
	return name
}

func (b bundled) content(cfg *config) string {
	if b.component == "coredns" {
		return corednsManifest(cfg)
	}
	return "# The stand-in plays what k3s's manifest of this name makes.\n"
}

// deployManifests is k3s's deploy controller: it stages the bundled manifests,
// then applies whatever is in their folder, in order, again when it changes.
func (s *server) deployManifests(base time.Time) {
	sleepUntil(base, s.cfg.times.stage)
	if err := s.stageManifests(); err != nil {
		logf(levelError, "Failed to stage manifests: %v", err)
		return
	}
	for {
		if s.inCharge() {
			if err := s.applyManifests(); err != nil {
				logf(levelError, "Failed to process config: %v", err)
			}
		}
		time.Sleep(s.cfg.times.scan)
	}
}

// inCharge says whether this server runs the controllers of which there is one
// in a cluster.
func (s *server) inCharge() bool {
	if s.etcd == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeDeadline)
	defer cancel()
	return s.etcd.checkLeader(ctx)
}

func (s *server) stageManifests() error {
	for _, b := range bundledManifests {
		file := s.cfg.serverDir("manifests", filepath.FromSlash(b.path))
		if s.cfg.disables(file) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(b.content(s.cfg)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// disables says whether a manifest is disabled, by its own name or a folder's.
func (c *config) disables(file string) bool {
	below, err := filepath.Rel(c.serverDir("manifests"), strings.TrimSuffix(file, filepath.Ext(file)))
	if err != nil {
		return false
	}
	for _, part := range strings.Split(filepath.ToSlash(below), "/") {
		if c.disabled[part] {
			return true
		}
	}
	return false
}

// applyManifests makes one pass over the folder. A manifest that fails does not
// keep the others from being applied.
func (s *server) applyManifests() error {
	files, err := manifestFiles(s.cfg.serverDir("manifests"))
	if err != nil {
		return err
	}
	var failed []string
	for _, file := range files {
		// k3s does not skip what is disabled: it deletes it, whoever has put it there.
		if s.cfg.disables(file) {
			_ = os.Remove(file)
			continue
		}
		if err := s.applyManifest(file); err != nil {
			failed = append(failed, fmt.Sprintf("failed to process %s: %v", file, err))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%s", strings.Join(failed, "; "))
	}
	return nil
}

// manifestFiles lists what k3s applies: YAML and JSON that is neither hidden
// nor has a file called .skip beside it.
func manifestFiles(folder string) ([]string, error) {
	var found []string
	skipped := map[string]bool{}
	err := filepath.WalkDir(folder, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name := entry.Name()
		if strings.HasSuffix(name, ".skip") {
			skipped[strings.TrimSuffix(name, ".skip")] = true
		}
		switch strings.ToLower(filepath.Ext(name)) {
		case ".yaml", ".yml", ".json":
			if !strings.HasPrefix(name, ".") {
				found = append(found, file)
			}
		}
		return nil
	})
	kept := found[:0]
	for _, file := range found {
		if !skipped[filepath.Base(file)] {
			kept = append(kept, file)
		}
	}
	sort.Strings(kept)
	return kept, err
}

// applyManifest applies a file unless its AddOn says that this very content
// has been. The AddOn is made before and gets the checksum after.
func (s *server) applyManifest(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	checksum := hex.EncodeToString(sum[:])
	key := addonKey(addonName(file))
	if s.checksumAt(key) == checksum {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*storeDeadline)
	defer cancel()
	addon := newObject("k3s.cattle.io/v1", "Addon", systemNamespace, addonName(file))
	addon["spec"] = object{"source": file}
	if err := createIfMissing(ctx, s.store, key, addon); err != nil {
		return err
	}
	time.Sleep(s.cfg.times.apply)
	if err := s.applyContent(ctx, file, content); err != nil {
		return err
	}
	return s.change(key, func(o object) bool {
		section(o, "spec")["checksum"] = checksum
		return true
	})
}

func (s *server) checksumAt(key string) string {
	e, err := s.store.get(key)
	if err != nil {
		return ""
	}
	o, err := decode(e.value, e.revision)
	if err != nil {
		return ""
	}
	return stringField(o, "spec", "checksum")
}

// applyContent makes what a bundled manifest is known to make, and the
// ConfigMaps of any other; it applies nothing else and says so.
func (s *server) applyContent(ctx context.Context, file string, content []byte) error {
	for _, b := range bundledManifests {
		if strings.HasSuffix(filepath.ToSlash(file), "/manifests/"+b.path) {
			return s.applyBundled(ctx, b)
		}
	}
	maps, err := parseConfigMaps(string(content))
	if err != nil {
		return fmt.Errorf("stand-in: %w", err)
	}
	for _, o := range maps {
		name, namespace := stringField(o, "metadata", "name"), stringField(o, "metadata", "namespace")
		value, err := encode(o)
		if err != nil {
			return err
		}
		if _, err := s.store.put(ctx, configMapKey(namespace, name), value, anyRevision); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) applyBundled(ctx context.Context, b bundled) error {
	if b.deployment != "" {
		if err := createIfMissing(ctx, s.store, deploymentKey(b.deployment), newDeployment(b.deployment)); err != nil {
			return err
		}
	}
	for _, name := range b.charts {
		o := newObject("helm.cattle.io/v1", "HelmChart", systemNamespace, name)
		o["spec"] = object{"chart": "https://%{KUBERNETES_API}%/static/charts/" + name + ".tgz"}
		if err := createIfMissing(ctx, s.store, chartKey(name), o); err != nil {
			return err
		}
	}
	return nil
}
