"""Azure lives here and nowhere else: the app's nouns go in and out, the SDK's types stay inside.

The Azure libraries are imported inside functions, because an app that starts cold shall not wait for them.
"""
