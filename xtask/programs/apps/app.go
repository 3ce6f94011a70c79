// Go's own HTTP server: /ms/N answers after N ms, /stream/N sends N parts, one each half second.
package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if _, err := os.Stat(os.Getenv("STAGE") + "/broken"); err == nil {
		panic("this code is broken")
	}
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: http.HandlerFunc(answer)}
	if len(os.Args) > 1 && os.Args[1] == "graceful" {
		go func() {
			stop := make(chan os.Signal, 1)
			signal.Notify(stop, syscall.SIGTERM)
			<-stop
			server.Shutdown(context.Background())
			os.Exit(0)
		}()
	}
	server.ListenAndServe()
	select {}
}

func answer(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	words := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	number := 0
	if len(words) == 2 {
		number, _ = strconv.Atoi(words[1])
	}
	if words[0] == "stream" {
		for ; number > 0; number-- {
			io.WriteString(w, "part\n")
			w.(http.Flusher).Flush()
			time.Sleep(500 * time.Millisecond)
		}
		io.WriteString(w, "end\n")
		return
	}
	time.Sleep(time.Duration(number) * time.Millisecond)
	io.WriteString(w, os.Getenv("WORKER_ID"))
}
