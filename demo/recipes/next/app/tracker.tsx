'use client'

import { startAuto } from 'pristo/auto'
import { useEffect } from 'react'
import { pristo } from '../lib/pristo'

/** Page views, those of routes too, and elements with `data-pristo-track`: once, in the layout. */
export const Tracker = () => {
  useEffect(() => startAuto(pristo, { pageview: 'page_view' }), [])
  return null
}
