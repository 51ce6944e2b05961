import type { Metadata } from 'next'
import Link from 'next/link'
import type { ReactNode } from 'react'
import { Tracker } from './tracker'

export const metadata: Metadata = { title: 'A shop', icons: { icon: 'data:,' } }

export default function RootLayout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <nav>
          <Link id="home" href="/">
            Home
          </Link>{' '}
          <Link id="about" href="/about">
            About
          </Link>
        </nav>
        {children}
        <Tracker />
      </body>
    </html>
  )
}
