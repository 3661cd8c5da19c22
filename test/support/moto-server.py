"""moto as a server that answers one request at a time: moto-server.py PORT.

moto itself looks whether a name is taken and then writes, without a lock: of several conditional
puts at once more than one may win, which no store that Tidemark takes may do.
"""

import io
import sys
import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

application = DomainDispatcherApplication(create_backend_app)
turn = threading.Lock()


def answer(environ, start_response):
    length = environ.get("CONTENT_LENGTH")
    if length:
        # Before its turn: a body that is slow keeps nobody else waiting.
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(length)))
    with turn:
        return list(application(environ, start_response))


run_simple("127.0.0.1", int(sys.argv[1]), answer, threaded=True)
