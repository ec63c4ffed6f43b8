"""Suites that rebuild the tables and figures of papers. The engine: it knows no paper."""
