"""Tests of the local Functions host: real SDK apps, virtual time, crashes at every commit."""
