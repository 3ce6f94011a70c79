"""The same as a Django application of one file, for any WSGI server."""

import time

import app as plain
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="of no use", MIDDLEWARE=[])


@csrf_exempt
def wait(_request, ms=0):
    time.sleep(ms / 1000)
    return HttpResponse(plain.SLOT)


def stream(_request, number):
    return StreamingHttpResponse(plain.parts(number))


urlpatterns = [path("", wait), path("ms/<int:ms>", wait), path("stream/<int:number>", stream)]
application = get_wsgi_application()
