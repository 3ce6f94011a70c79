// A worker in Go: it says that it is ready, answers pings, and finishes when llb says so. PORT=8080 sudo -E llb run
// --ready-when ready -- ./worker
//
// llb gives GODEBUG=multipathtcp=0 to its workers: Go listens by Multipath TCP otherwise, which the kernel cannot steer.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

func talk(channel *os.File, server *http.Server) {
	for lines := bufio.NewScanner(channel); lines.Scan(); {
		var message struct {
			Cmd string
			ID  uint64
		}
		if json.Unmarshal(lines.Bytes(), &message) != nil {
			continue
		}
		switch message.Cmd {
		case "ping":
			fmt.Fprintf(channel, "{\"cmd\":\"pong\",\"id\":%d}\n", message.ID)
		case "disconnect":
			// llb has left us out already: what still waits in the queue is accepted before the listener goes.
			time.AfterFunc(100*time.Millisecond, func() { server.Shutdown(context.Background()) })
		}
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "worker %s\n", os.Getenv("WORKER_ID"))
	})}
	if fd, err := strconv.Atoi(os.Getenv("LLB_FD")); err == nil {
		channel := os.NewFile(uintptr(fd), "llb")
		fmt.Fprintln(channel, `{"cmd":"ready"}`)
		go talk(channel, server)
	}
	if err := server.Serve(listener); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	select {} // until SIGTERM
}
