package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// openProxy makes a joining server that keeps no data and passes its API
// requests on to the server it joined: STANDIN_DATASTORE=none.
func (s *server) openProxy(start time.Time) error {
	if _, err := fetchBootstrap(s.cfg); err != nil {
		return fmt.Errorf("starting kubernetes: preparing server: %w", err)
	}
	var err error
	if s.pki, err = loadPKI(s.cfg); err != nil {
		return err
	}
	cert, err := tls.X509KeyPair(s.pki.admin.certPEM, s.pki.admin.keyPEM)
	if err != nil {
		return err
	}
	sleepUntil(start, s.cfg.times.datastore)
	s.cfg.faults.reach(stageDatastore)
	to := &url.URL{Scheme: "https", Host: hostOf(s.cfg.serverURL)}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.FlushInterval = -1 // watches are streams
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	proxy.Transport = &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: s.pki.serverCA.pool(), Certificates: []tls.Certificate{cert}, ServerName: "kubernetes", MinVersion: tls.VersionTLS12}}
	s.proxy = proxy
	return nil
}
