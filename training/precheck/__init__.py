"""The precheck: is a masked region of the proxy text, and is what surrounds it too fine for a fill at proxy size?"""
