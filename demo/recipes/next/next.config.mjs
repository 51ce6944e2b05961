export default {
  skipTrailingSlashRedirect: true, // else Next answers /pristo/ by a redirect to /pristo
}
