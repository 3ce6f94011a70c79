"""The same for Flask's own server."""

import os
import time

from flask import Flask, Response

import app as plain

app = Flask(__name__)


@app.route("/", methods=["GET", "POST"])
def root():
    return plain.SLOT


@app.route("/ms/<int:ms>", methods=["GET", "POST"])
def wait(ms):
    time.sleep(ms / 1000)
    return plain.SLOT


@app.route("/stream/<int:number>")
def stream(number):
    return Response(plain.parts(number), mimetype="text/plain")


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ["PORT"]), threaded=True)
