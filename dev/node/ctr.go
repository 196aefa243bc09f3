package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

var (
	ctrValued   = words(`n namespace a address platform base-name index-name snapshotter timeout`)
	ctrSwitches = words(`all-platforms digests no-unpack q quiet local`)
)

const ctrUsage = "the stand-in's ctr knows: images import [--all-platforms] FILE|-, images ls [-q]"

// splitCtr separates words from flags; an unknown flag is an error, since it
// would change what is done.
func splitCtr(args []string) ([]string, map[string]bool, error) {
	var positional []string
	given := map[string]bool{}
	for i := 0; i < len(args); i++ {
		if !strings.HasPrefix(args[i], "-") || args[i] == "-" {
			positional = append(positional, args[i])
			continue
		}
		name, _, has := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if !ctrValued[name] && !ctrSwitches[name] {
			return nil, nil, fmt.Errorf("flag provided but not defined: %s", args[i])
		}
		if ctrValued[name] && !has {
			i++
		}
		given[name] = true
	}
	return positional, given, nil
}

func ctrMain(args []string) int {
	if err := ctrRun(args); err != nil {
		fmt.Fprintf(os.Stderr, "ctr: %v\n", err)
		return 1
	}
	return 0
}

func ctrRun(args []string) error {
	positional, flags, err := splitCtr(args)
	if err != nil {
		return err
	}
	if len(positional) < 2 || !(positional[0] == "image" || positional[0] == "images" || positional[0] == "i") {
		return errors.New(ctrUsage)
	}
	if err := containerdRuns(); err != nil {
		return err
	}
	switch positional[1] {
	case "import":
		if len(positional) != 3 {
			return errors.New("please provide a path to an image archive")
		}
		return importImages(positional[2])
	case "ls", "list":
		return listImages(flags["q"] || flags["quiet"])
	}
	return errors.New(ctrUsage)
}

// containerdRuns fails while the node has not come that far.
func containerdRuns() error {
	socket := containerdSocket(envOr(os.LookupEnv, "STANDIN_RUN", "/run/k3s"))
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return fmt.Errorf("failed to dial %q: %w", socket, err)
	}
	return conn.Close()
}

// importOrder is how imports are to go wrong on this node: "fail" at once,
// "hang" without reading, "forget" what was read and say that all is well.
func importOrder() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	for _, item := range strings.Split(os.Getenv("STANDIN_IMPORT"), ",") {
		order, node, _ := strings.Cut(item, "@")
		if item == "" {
			continue
		}
		if order != "fail" && order != "hang" && order != "forget" {
			return "", fmt.Errorf("STANDIN_IMPORT: %q: expected fail, hang or forget", item)
		}
		if matched, err := matchNode(node, host); err != nil || matched {
			return order, err
		}
	}
	return "", nil
}

func importImages(source string) error {
	order, err := importOrder()
	if err != nil {
		return err
	}
	switch order {
	case "fail":
		return errors.New("stand-in: failure of an import ordered")
	case "hang":
		for { // the runtime takes an empty select in a lone goroutine for a deadlock
			time.Sleep(time.Hour)
		}
	}
	var from io.Reader = os.Stdin
	if source != "-" {
		f, err := os.Open(source)
		if err != nil {
			return err
		}
		defer f.Close()
		from = f
	}
	a, err := readArchive(from)
	if err != nil {
		return err
	}
	list := a.images()
	if order != "forget" {
		if err := recordImages(list); err != nil {
			return err
		}
	}
	for _, i := range list {
		fmt.Printf("unpacking %s (%s)...done\n", i.Name, i.Digest)
	}
	return nil
}

func listImages(quiet bool) error {
	list, err := sortedImages()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 1, ' ', 0)
	if !quiet {
		fmt.Fprintln(w, "REF\tTYPE\tDIGEST\tSIZE\tPLATFORMS\tLABELS")
	}
	for _, i := range list {
		if quiet {
			fmt.Fprintln(w, i.Name)
			continue
		}
		fmt.Fprintf(w, "%s\tapplication/vnd.docker.distribution.manifest.v2+json\t%s\t%.1f MiB\t-\t-\n", i.Name, i.Digest, float64(i.Size)/(1<<20))
	}
	return w.Flush()
}

func crictlMain(args []string) int {
	if err := crictlRun(args); err != nil {
		fmt.Fprintf(os.Stderr, "crictl: %v\n", err)
		return 1
	}
	return 0
}

// crictlRun is "crictl images [-q|-o json]" and "crictl inspecti NAME|ID".
func crictlRun(args []string) error {
	if len(args) == 0 {
		return errors.New(crictlUsage)
	}
	if err := containerdRuns(); err != nil {
		return err
	}
	list, err := sortedImages()
	if err != nil {
		return err
	}
	switch rest := strings.Join(args[1:], " "); args[0] {
	case "images", "image", "img":
		return crictlImages(criImages(list), rest)
	case "inspecti":
		return crictlInspect(criImages(list), strings.TrimSuffix(rest, " -o json"))
	}
	return errors.New(crictlUsage)
}

const crictlUsage = "the stand-in's crictl knows: images [-q | -o json], inspecti NAME|ID"

// criImage is an image as Kubernetes sees it: once, with all of its names.
type criImage struct {
	id     string
	names  []string
	size   int64
	layers []string
}

func criImages(list []image) []criImage {
	var found []criImage
	place := map[string]int{}
	for _, i := range list {
		at, known := place[i.Digest]
		if !known {
			at = len(found)
			place[i.Digest] = at
			found = append(found, criImage{id: i.Digest, size: i.Size, layers: i.Layers})
		}
		found[at].names = append(found[at].names, i.Name)
	}
	return found
}

func (i criImage) describe() object {
	return object{
		"id": i.id, "repoTags": i.names, "repoDigests": []string{}, "size": fmt.Sprint(i.size),
		"uid": nil, "username": "", "spec": nil, "pinned": false,
	}
}

func crictlImages(list []criImage, how string) error {
	switch how {
	case "":
		return printCrictl(list)
	case "-q", "--quiet":
		for _, i := range list {
			fmt.Println(i.id)
		}
		return nil
	case "-o json", "-o=json", "--output json", "--output=json":
		items := []object{}
		for _, i := range list {
			items = append(items, i.describe())
		}
		return printJSON(object{"images": items})
	}
	return fmt.Errorf("the stand-in does not know these arguments: %s", how)
}

func crictlInspect(list []criImage, name string) error {
	for _, i := range list {
		for _, known := range append([]string{i.id}, i.names...) {
			if known == name {
				spec := object{"rootfs": object{"type": "layers", "diff_ids": i.layers}}
				return printJSON(object{"status": i.describe(), "info": object{"imageSpec": spec}})
			}
		}
	}
	return fmt.Errorf("no such image %q present", name)
}

func printCrictl(list []criImage) error {
	w := tabwriter.NewWriter(os.Stdout, 20, 1, 3, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tTAG\tIMAGE ID\tSIZE")
	for _, i := range list {
		for _, name := range i.names {
			at := strings.LastIndex(name, ":")
			fmt.Fprintf(w, "%s\t%s\t%.13s\t%dB\n", name[:at], name[at+1:], strings.TrimPrefix(i.id, "sha256:"), i.size)
		}
	}
	return w.Flush()
}

func printJSON(what object) error {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(what)
}
