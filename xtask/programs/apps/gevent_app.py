"""The same for gevent's own server."""

import os

from gevent import monkey

monkey.patch_all()

import app as plain
from gevent.pywsgi import WSGIServer

WSGIServer(("127.0.0.1", int(os.environ["PORT"])), plain.wsgi, log=None).serve_forever()
