package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
)

// image is what is kept of an imported image: enough to list it, and the
// digests of its unpacked layers, to see that its content has arrived.
type image struct {
	Name   string   `json:"name"`
	Digest string   `json:"digest"`
	Size   int64    `json:"size"`
	Layers []string `json:"layers,omitempty"`
}

// archive is what a pass over a tar file learned: of each file its size and
// digest, of small ones (configurations, manifests) the content.
type archive struct {
	sizes    map[string]int64
	digests  map[string]string
	small    map[string][]byte
	manifest []dockerManifest
	index    *ociIndex
}

// largestSmall bounds what is kept: configurations are a few kB.
const largestSmall = 1 << 20

// imageConfig is what an image says of itself.
type imageConfig struct {
	RootFS struct {
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

type ociIndex struct {
	Manifests []struct {
		Digest      string            `json:"digest"`
		Size        int64             `json:"size"`
		Annotations map[string]string `json:"annotations"`
	} `json:"manifests"`
}

// readArchive reads a docker or OCI archive to its end: a cut one is an error.
func readArchive(r io.Reader) (*archive, error) {
	buffered := bufio.NewReader(r)
	if head, err := buffered.Peek(2); err == nil && head[0] == 0x1f && head[1] == 0x8b {
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, err
		}
		r = unzipped
	} else {
		r = buffered
	}
	a := &archive{sizes: map[string]int64{}, digests: map[string]string{}, small: map[string][]byte{}}
	files := tar.NewReader(r)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return a, a.check()
		}
		if err != nil {
			return nil, fmt.Errorf("unrecognized image format: %w", err)
		}
		if err := a.take(strings.TrimPrefix(header.Name, "./"), header, files); err != nil {
			return nil, err
		}
	}
}

func (a *archive) take(name string, header *tar.Header, content io.Reader) error {
	a.sizes[name] = header.Size
	var into interface{}
	switch name {
	case "manifest.json":
		into = &a.manifest
	case "index.json":
		a.index = &ociIndex{}
		into = a.index
	default:
		return a.readBlob(name, content)
	}
	if err := json.NewDecoder(content).Decode(into); err != nil {
		return fmt.Errorf("unrecognized image format: %s: %w", name, err)
	}
	return nil
}

// readBlob reads a file to its end. One that is called by its digest must have
// it: containerd keeps nothing else.
func (a *archive) readBlob(name string, content io.Reader) error {
	want := digestInName(name)
	hash := sha256.New()
	var into io.Writer = hash
	var kept bytes.Buffer
	if a.sizes[name] <= largestSmall {
		into = io.MultiWriter(hash, &kept)
	}
	if _, err := io.Copy(into, content); err != nil {
		return err
	}
	a.small[name] = kept.Bytes()
	got := hex.EncodeToString(hash.Sum(nil))
	a.digests[name] = "sha256:" + got
	if want != "" && got != want {
		return fmt.Errorf("failed to commit %s: unexpected commit digest sha256:%s, expected sha256:%s: failed precondition", name, got, want)
	}
	return nil
}

// digestInName knows docker's configurations, <sha256>.json, and OCI's blobs.
func digestInName(name string) string {
	digest := strings.TrimPrefix(name, "blobs/sha256/")
	if digest == name {
		digest = strings.TrimSuffix(name, ".json")
	}
	if raw, err := hex.DecodeString(digest); err != nil || len(raw) != sha256.Size {
		return ""
	}
	return digest
}

// check refuses an archive that names files it does not hold.
func (a *archive) check() error {
	if a.manifest == nil && a.index == nil {
		return errors.New("unrecognized image format: neither manifest.json nor index.json in the archive")
	}
	for _, m := range a.manifest {
		for _, file := range append([]string{m.Config}, m.Layers...) {
			if _, ok := a.sizes[file]; !ok {
				return fmt.Errorf("unrecognized image format: %q is missing in the archive", file)
			}
		}
		if err := a.checkLayers(m); err != nil {
			return err
		}
	}
	if a.index == nil {
		return nil
	}
	for _, m := range a.index.Manifests {
		if _, ok := a.sizes["blobs/"+strings.Replace(m.Digest, ":", "/", 1)]; !ok {
			return fmt.Errorf("content digest %s: not found", m.Digest)
		}
	}
	return nil
}

// checkLayers compares layers with what the configuration says of them, as
// containerd does when it unpacks. A packed one has another digest: not looked
// at. A link to a layer of another image has no content in this place.
func (a *archive) checkLayers(m dockerManifest) error {
	want := a.layersOf(m.Config)
	if want == nil {
		return nil
	}
	if len(want) != len(m.Layers) {
		return fmt.Errorf("mismatched image rootfs and manifest layers")
	}
	for i, layer := range m.Layers {
		head := a.small[layer]
		packed := len(head) > 1 && head[0] == 0x1f && head[1] == 0x8b
		if a.sizes[layer] > 0 && !packed && !strings.HasPrefix(layer, "blobs/") && a.digests[layer] != want[i] {
			return fmt.Errorf("wrong diff id calculated on extraction %q", a.digests[layer])
		}
	}
	return nil
}

// layersOf are the digests of the unpacked layers that a configuration names.
func (a *archive) layersOf(config string) []string {
	var parsed imageConfig
	if json.Unmarshal(a.small[config], &parsed) != nil {
		return nil
	}
	return parsed.RootFS.DiffIDs
}

// images lists what the archive holds, under containerd's names: of the index
// if there is one, else of docker's manifest.
func (a *archive) images() []image {
	if found := a.ofIndex(); len(found) > 0 {
		return found
	}
	var found []image
	for _, m := range a.manifest {
		size := a.sizes[m.Config]
		for _, layer := range m.Layers {
			size += a.sizes[layer]
		}
		digest := "sha256:" + strings.TrimSuffix(filepath.Base(m.Config), ".json")
		for _, tag := range m.RepoTags {
			found = append(found, image{fullName(tag), digest, size, a.layersOf(m.Config)})
		}
	}
	return found
}

func (a *archive) ofIndex() []image {
	if a.index == nil {
		return nil
	}
	var found []image
	var total int64
	for name, size := range a.sizes {
		if strings.HasPrefix(name, "blobs/") {
			total += size
		}
	}
	for _, m := range a.index.Manifests {
		name := m.Annotations["io.containerd.image.name"]
		if name == "" {
			name = m.Annotations["org.opencontainers.image.ref.name"]
		}
		// ctr puts its own prefix before a tag alone, and leaves everything else as it is.
		if name != "" && !strings.ContainsAny(name, "/:@") {
			name = "import-" + time.Now().Format("2006-01-02") + ":" + name
		}
		if name != "" {
			found = append(found, image{name, m.Digest, total, nil})
		}
	}
	return found
}

// fullName adds what containerd never leaves out: registry, library and tag.
func fullName(name string) string {
	first, rest, hasSlash := strings.Cut(name, "/")
	switch {
	case !hasSlash:
		name = "docker.io/library/" + name
		rest = name
	case !strings.ContainsAny(first, ".:") && first != "localhost":
		name = "docker.io/" + name
	}
	if !strings.Contains(rest[strings.LastIndex(rest, "/")+1:], ":") && !strings.Contains(name, "@") {
		name += ":latest"
	}
	return name
}

// imageFile is the list of imported images, in the node's volume.
func imageFile() string { return filepath.Join(dataDirFromEnv(), "agent", "images.json") }

func dataDirFromEnv() string { return envOr(os.LookupEnv, "K3S_DATA_DIR", "/var/lib/rancher/k3s") }

func readImages() (map[string]image, error) {
	known := map[string]image{}
	raw, err := os.ReadFile(imageFile())
	if errors.Is(err, os.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return nil, err
	}
	return known, json.Unmarshal(raw, &known)
}

// recordImages adds images under a lock: several imports may run at once.
func recordImages(added []image) error {
	if err := os.MkdirAll(filepath.Dir(imageFile()), 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(imageFile()+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	known, err := readImages()
	if err != nil {
		return err
	}
	for _, i := range added {
		known[i.Name] = i
	}
	raw, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(imageFile()+".new", raw, 0o644); err != nil {
		return err
	}
	return os.Rename(imageFile()+".new", imageFile())
}

func sortedImages() ([]image, error) {
	known, err := readImages()
	list := make([]image, 0, len(known))
	for _, i := range known {
		list = append(list, i)
	}
	sort.Slice(list, func(a, b int) bool { return list[a].Name < list[b].Name })
	return list, err
}
